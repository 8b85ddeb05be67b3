"""What streams are compared with: Starlette's StreamingResponse on the same server settings, storing nothing.

`/idle` sends one comment and sleeps; `/events/{count}` sends so many ready frames, one a send.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()


@app.get("/idle")
async def idle() -> StreamingResponse:
    async def wait() -> AsyncIterator[bytes]:
        yield b": open\n\n"
        await asyncio.sleep(3600)

    return StreamingResponse(wait(), media_type="text/event-stream")


@app.get("/events/{count}")
async def events(count: int) -> StreamingResponse:
    frames = [
        f'id: {n}\nevent: chunk\ndata: {{"type": "content", "chunk": "token {n} ", "index": {n}}}\n\n'.encode()
        for n in range(count)
    ]

    async def send() -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    return StreamingResponse(send(), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
