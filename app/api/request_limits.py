"""The stage that limits the reads of a caller. Submits count where messages are accepted."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access.request_limits import ReadLimits
from ..access.scopes import AccessScope
from ..models.limits import Counted
from .limit_headers import limit_headers
from .targets import PRINCIPAL, TARGET


class RequestLimits:
    """Counts a request that reads, and tells in its reply what is left."""

    def __init__(self, app: ASGIApp, *, limits: ReadLimits) -> None:
        self._app = app
        self._limits = limits

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the next stage. Raises RateLimitExceeded. It is no coroutine function: coroutines cost time."""
        if scope[TARGET].needs is AccessScope.READ and scope["type"] == "http":
            client = scope.get("client")
            counted = self._limits.count(scope[PRINCIPAL], None if client is None else client[0])
            if counted is not None:
                send = _with_limit(send, counted)
        return self._app(scope, receive, send)


def _with_limit(send: Send, counted: Counted) -> Send:
    """Return a `send` that adds the headers of a limit to the response."""

    async def send_with_limit(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.lower().encode(), value.encode()) for name, value in limit_headers(counted).items()]
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return send_with_limit
