"""Reads a stream over as many connections as it takes, for threads. `async_reading` is the same for asyncio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from .core.deadline import Deadline
from .core.reconnecting import SILENCE_SECONDS, BrokenStream, Reconnecting, unreachable
from .core.replies import Reply
from .core.requests import Call
from .transport import ConnectionFailed, OpenReply

if TYPE_CHECKING:
    from .client import AgentQ

E = TypeVar("E")


class Closing:
    """Ends the reading of a stream, also from another thread."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._reply: OpenReply | None = None

    @property
    def is_closed(self) -> bool:
        """Return whether the stream was closed."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the read, or the pause, in which the reader waits."""
        self._closed.set()
        with self._lock:
            if self._reply is not None:
                self._reply.cut()

    def pause(self, seconds: float) -> None:
        """Wait until the stream is closed, for `seconds` at most."""
        self._closed.wait(seconds)

    @contextmanager
    def reading(self, reply: OpenReply) -> Iterator[None]:
        """Make `close` cut this reply. It does so no more when its connection may serve another request."""
        with self._lock:
            self._reply = reply
        try:
            yield
        finally:
            with self._lock:
                self._reply = None


def read(
    client: AgentQ,
    state: Reconnecting[E],
    deadline: Deadline,
    closing: Closing,
    check: Callable[[], None],
    on_pause: Callable[[float], None] | None = None,
) -> Generator[E, None, None]:
    """Yield the events of a stream until it is over or closed. `check` raises when the time is over.

    `on_pause` is called with the seconds before each new connection.
    """
    while not state.is_over:
        began = time.monotonic()
        failure: Exception | None = None
        try:
            yield from _connection(client, state, deadline, closing, check)
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
            closing.pause(deadline.limit(pause))
            check()


def _connection(
    client: AgentQ, state: Reconnecting[E], deadline: Deadline, closing: Closing, check: Callable[[], None]
) -> Generator[E, None, None]:
    call: Call[Reply] = Call("GET", state.path, lambda reply: reply, query=state.query, headers=state.headers)
    with client.opened(call, deadline, silence=SILENCE_SECONDS) as reply, closing.reading(reply):
        if closing.is_closed:
            return
        if not state.opened(reply.status, reply.headers):
            yield from state.refused(reply.read(deadline.limit(client.timeout)))
        else:
            for piece in reply.pieces(deadline.left):
                for event in state.receive(piece):
                    if state.accept(event):
                        yield event
                    if state.is_over or closing.is_closed:
                        return
                check()
