"""Answers requests that a stopping server cancels."""

from collections.abc import Collection

from starlette.types import Receive, Scope, Send

from ..errors import CommitUnknown
from .cors import let_page_read
from .errors import ServerStopping, response_to
from .header_checks import SAFE_METHODS
from .uvicorn_protocol import SERVICE_RESTART


class ChangeCutOff(CommitUnknown):
    """The server stopped during a change."""

    public = (
        "The server was stopped during this write. It is unknown whether the write was stored. Check before you send "
        "it again. A submit with an Idempotency-Key can be sent again with the same key."
    )


async def answer_cut_off(scope: Scope, receive: Receive, send: Send, allowed_origins: Collection[str]) -> bool:
    """Answer a request whose task was cancelled. Return False if the answer had already begun.

    Only a stopping server cancels the tasks of requests. The answer has CORS headers for `allowed_origins`.
    """
    try:
        match scope["type"]:
            case "http":
                error = ServerStopping() if scope["method"] in SAFE_METHODS else ChangeCutOff()
                response = response_to(error)
                let_page_read(response, scope, allowed_origins)
                await response(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": SERVICE_RESTART})
            case _:
                return False
    except RuntimeError:  # raised by uvicorn, since the answer has begun; the caller closes the connection
        return False
    return True
