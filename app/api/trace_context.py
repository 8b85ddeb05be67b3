"""Reads the trace context of requests: W3C's headers `traceparent` and `tracestate`."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from ..models.traces import TraceContext
from ..observability.tracing import INCOMING
from .request_reading import HEADERS

PARENT, STATE = b"traceparent", b"tracestate"

TRACE_HEADERS: tuple[dict[str, Any], ...] = (
    {
        "name": "traceparent",
        "in": "header",
        "description": "The caller's place in a trace, as in W3C Trace Context. A malformed header is ignored.",
        "schema": {"type": "string"},
    },
    {
        "name": "tracestate",
        "in": "header",
        "description": "Further fields of the trace. A malformed header, or one above 512 characters, is ignored.",
        "schema": {"type": "string"},
    },
)


class RequestTrace:
    """Has the endpoint run in the trace that the request's headers name. Frames of a WebSocket name their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the next stage. It is no coroutine function: coroutines cost time."""
        if scope["type"] == "http":
            by_name = scope.get(HEADERS)
            if by_name is None or PARENT in by_name:
                return self._traced(scope, receive, send)
        return self._app(scope, receive, send)

    async def _traced(self, scope: Scope, receive: Receive, send: Send) -> None:
        parents = [value for name, value in scope["headers"] if name == PARENT]
        states = [value for name, value in scope["headers"] if name == STATE]
        parent = parents[0].decode("latin-1") if len(parents) == 1 else ""
        with traced(parent, b",".join(states).decode("latin-1")):
            await self._app(scope, receive, send)


@contextmanager
def traced(parent: str | None, state: str | None) -> Iterator[None]:
    """Have the code inside the `with` statement run in the trace that a caller names. Ignore a malformed `parent`."""
    token = INCOMING.set(TraceContext.of(parent or "", state or ""))
    try:
        yield
    finally:
        INCOMING.reset(token)
