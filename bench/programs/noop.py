"""The server that submits are compared with: FastAPI with the same models, storing nothing."""

import sys
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

from app.api.schemas.messages import MessageAccepted
from app.api.schemas.submissions import MessageCreate
from app.models.messages import MessageState, new_message_id

app = FastAPI()


@app.post("/messages", status_code=202)
async def submit(body: MessageCreate) -> MessageAccepted:
    """Return the same reply as our server, without storing the message."""
    return MessageAccepted(
        message_id=new_message_id(),
        state=MessageState.QUEUED,
        queue_position=0,
        created_at=datetime.now(UTC),
        thread_id=body.thread_id,
        agent=body.agent or "chat",
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
