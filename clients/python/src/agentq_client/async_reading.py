"""Reads a stream over as many connections as it takes, for asyncio. `reading` is the same for threads."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from .core.deadline import Deadline
from .core.reconnecting import SILENCE_SECONDS, BrokenStream, Reconnecting, unreachable
from .core.replies import Reply
from .core.requests import Call
from .transport import ConnectionFailed, sleep

if TYPE_CHECKING:
    from .async_client import AsyncAgentQ

E = TypeVar("E")


async def read(
    client: AsyncAgentQ, state: Reconnecting[E], deadline: Deadline, check: Callable[[], None]
) -> AsyncGenerator[E, None]:
    """Yield the events of a stream until it is over. `check` raises when the time is over."""
    while not state.is_over:
        began = time.monotonic()
        failure: Exception | None = None
        try:
            async with aclosing(_connection(client, state, deadline, check)) as events:
                async for event in events:
                    yield event
        except BrokenStream as error:
            failure = error
        except ConnectionFailed as error:
            failure = unreachable(client.base_url, error)
        if not state.is_over:
            check()
            pause = state.interrupted(time.monotonic() - began, failure)
            await sleep(deadline.limit(pause))
            check()


async def _connection(
    client: AsyncAgentQ, state: Reconnecting[E], deadline: Deadline, check: Callable[[], None]
) -> AsyncGenerator[E, None]:
    call: Call[Reply] = Call("GET", state.path, lambda reply: reply, query=state.query, headers=state.headers)
    async with client.opened(call, deadline, silence=SILENCE_SECONDS) as reply:
        if not state.opened(reply.status, reply.headers):
            for event in state.refused(await reply.read(deadline.limit(client.timeout))):
                yield event
        else:
            async with aclosing(reply.pieces(deadline.left)) as pieces:
                async for piece in pieces:
                    for event in state.receive(piece):
                        if state.accept(event):
                            yield event
                        if state.is_over:
                            return
                    check()
