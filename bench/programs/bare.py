"""The server that streams are compared with: Starlette's StreamingResponse, storing nothing.

`/idle` sends one comment and sleeps. `/events/{count}` sends `count` prepared frames, one per send. `/live` sends the
frames that `POST /broadcast/{count}/{burst}/{pause}` puts into each reader's queue, as hand-written code would.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

app = FastAPI()
queues: set[asyncio.Queue[bytes | None]] = set()


def frames_of(count: int) -> list[bytes]:
    """Return the frames of a message with `count` chunks."""
    return [
        f'id: {n + 2}\nevent: chunk\ndata: {{"type": "content", "chunk": "token {n} ", "index": {n}}}\n\n'.encode()
        for n in range(count)
    ]


@app.get("/idle")
async def idle() -> StreamingResponse:
    async def wait() -> AsyncIterator[bytes]:
        yield b": open\n\n"
        await asyncio.sleep(3600)

    return StreamingResponse(wait(), media_type="text/event-stream")


@app.get("/events/{count}")
async def events(count: int) -> StreamingResponse:
    frames = frames_of(count)

    async def send() -> AsyncIterator[bytes]:
        for frame in frames:
            yield frame

    return StreamingResponse(send(), media_type="text/event-stream")


@app.get("/live")
async def live() -> StreamingResponse:
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    queues.add(queue)

    async def send() -> AsyncIterator[bytes]:
        yield b": open\n\n"
        while (frame := await queue.get()) is not None:
            yield frame
        queues.remove(queue)

    return StreamingResponse(send(), media_type="text/event-stream")


@app.post("/broadcast/{count}/{burst}/{pause}")
async def broadcast(count: int, burst: int, pause: float) -> None:
    """Send frames to all present readers, then end their streams."""
    loop = asyncio.get_running_loop()
    frames = frames_of(count)
    due = loop.time()
    for at in range(0, count, burst):
        for queue in queues:
            for frame in frames[at : at + burst]:
                queue.put_nowait(frame)
        due += pause
        await asyncio.sleep(due - loop.time())
    for queue in queues:
        queue.put_nowait(None)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
