"""Answer requests that a stopping server cuts off."""

from collections.abc import Collection

from starlette.types import Receive, Scope, Send

from ..errors import CommitUnknown
from .cors import let_page_read
from .errors import ServerStopping, response_to
from .header_checks import SAFE_METHODS
from .uvicorn_protocol import SERVICE_RESTART


class ChangeCutOff(CommitUnknown):
    """The server stopped while it made a change."""

    public = (
        "The server was stopped before it knew whether this is stored. Look before you send it again; a submit with "
        "the same Idempotency-Key can be sent again at once."
    )


async def answer_cut_off(scope: Scope, receive: Receive, send: Send, allowed_origins: Collection[str]) -> bool:
    """Answer a request whose task was cancelled. Return False if the answer had already begun.

    Pages of the allowed origins can read the answer. Only a stopping server cancels requests.
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
    except RuntimeError:  # raised by the server: the answer has begun, so only closing the connection is left
        return False
    return True
