"""Reads a stream over as many connections as it takes, for threads. `async_reading` is the same for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from .core.deadline import Deadline
from .core.reconnecting import SILENCE_SECONDS, BrokenStream, Reconnecting, unreachable
from .core.replies import Reply
from .core.requests import Call
from .transport import ConnectionFailed

if TYPE_CHECKING:
    from .client import AgentQ

E = TypeVar("E")


def read(
    client: AgentQ, state: Reconnecting[E], deadline: Deadline, check: Callable[[], None]
) -> Generator[E, None, None]:
    """Yield the events of a stream until it is over. `check` raises when the time is over."""
    while not state.is_over:
        began = time.monotonic()
        failure: Exception | None = None
        try:
            yield from _connection(client, state, deadline, check)
        except BrokenStream as error:
            failure = error
        except ConnectionFailed as error:
            failure = unreachable(client.base_url, error)
        if not state.is_over:
            check()
            pause = state.interrupted(time.monotonic() - began, failure)
            time.sleep(deadline.limit(pause))
            check()


def _connection(
    client: AgentQ, state: Reconnecting[E], deadline: Deadline, check: Callable[[], None]
) -> Generator[E, None, None]:
    call: Call[Reply] = Call("GET", state.path, lambda reply: reply, query=state.query, headers=state.headers)
    with client.opened(call, deadline, silence=SILENCE_SECONDS) as reply:
        if not state.opened(reply.status, reply.headers):
            yield from state.refused(reply.read(deadline.limit(client.timeout)))
        else:
            for piece in reply.pieces(deadline.left):
                for event in state.receive(piece):
                    if state.accept(event):
                        yield event
                    if state.is_over:
                        return
                check()
