"""Reads a stream over as many connections as it takes, for asyncio. `reading` is the same for threads."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from .core.deadline import Deadline
from .core.reconnecting import SILENCE_SECONDS, BrokenStream, Reconnecting, unreachable
from .core.replies import Reply
from .core.requests import Call
from .transport import AsyncOpenReply, ConnectionFailed

if TYPE_CHECKING:
    import asyncio

    from .async_client import AsyncAgentQ

E = TypeVar("E")


class AsyncClosing:
    """Ends the reading of a stream, also from another task."""

    def __init__(self) -> None:
        self.is_closed = False
        self._reply: AsyncOpenReply | None = None
        self._waking: asyncio.Event | None = None

    def close(self) -> None:
        """End the read, or the pause, in which the reader waits."""
        self.is_closed = True
        if self._reply is not None:
            self._reply.cut()
        if self._waking is not None:
            self._waking.set()

    async def pause(self, seconds: float) -> None:
        """Wait until the stream is closed, for `seconds` at most."""
        import asyncio  # late, since it is a fifth of the time of an import

        self._waking = asyncio.Event()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._waking.wait(), seconds)

    @contextmanager
    def reading(self, reply: AsyncOpenReply) -> Iterator[None]:
        """Make `close` cut this reply. It does so no more when its connection may serve another request."""
        self._reply = reply
        try:
            yield
        finally:
            self._reply = None


async def read(
    client: AsyncAgentQ,
    state: Reconnecting[E],
    deadline: Deadline,
    closing: AsyncClosing,
    check: Callable[[], None],
    on_pause: Callable[[float], None] | None = None,
) -> AsyncGenerator[E, None]:
    """Yield the events of a stream until it is over or closed. `check` raises when the time is over.

    `on_pause` is called with the seconds before each new connection.
    """
    while not state.is_over:
        began = time.monotonic()
        failure: Exception | None = None
        try:
            async with aclosing(_connection(client, state, deadline, closing, check)) as events:
                async for event in events:
                    yield event
        except BrokenStream as error:
            failure = error
        except ConnectionFailed as error:
            failure = unreachable(client.base_url, error)
        if closing.is_closed:
            return
        if not state.is_over:
            check()
            pause = state.interrupted(time.monotonic() - began, failure)
            if on_pause is not None:
                on_pause(pause)
            await closing.pause(deadline.limit(pause))
            check()


async def _connection(
    client: AsyncAgentQ, state: Reconnecting[E], deadline: Deadline, closing: AsyncClosing, check: Callable[[], None]
) -> AsyncGenerator[E, None]:
    call: Call[Reply] = Call("GET", state.path, lambda reply: reply, query=state.query, headers=state.headers)
    async with client.opened(call, deadline, silence=SILENCE_SECONDS) as reply:
        with closing.reading(reply):
            if closing.is_closed:
                return
            if not state.opened(reply.status, reply.headers):
                for event in state.refused(await reply.read(deadline.limit(client.timeout))):
                    yield event
                return
            async with aclosing(reply.pieces(deadline.left)) as pieces:
                async for piece in pieces:
                    for event in state.receive(piece):
                        if state.accept(event):
                            yield event
                        if state.is_over or closing.is_closed:
                            return
                    check()
