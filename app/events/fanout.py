"""Shares reads of event logs among the readers in this process."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from ..models.events import Event, EventPage
from ..models.messages import MessageState
from ..policy.lifecycle import TERMINAL
from ..store.ports import Subscription

V = TypeVar("V")


class StoredEvents:
    """Consecutive stored events. All readers of them share this object and its frames."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    @cached_property
    def frames(self) -> bytes:
        """Return the events as server-sent events, made from the stored text once for all readers."""
        return "".join(f"id: {e.id}\nevent: {e.type}\ndata: {e.data}\n\n" for e in self.events).encode("ascii")


@dataclass(frozen=True, slots=True)
class Idle:
    """Reports that nothing came for the time that the reader asked for."""


class SingleFlight(Generic[V]):
    """Makes one read for all callers that ask for the same key in one turn of the event loop.

    A caller in a later turn gets a new read: an earlier read may miss the event that the caller was woken for.
    """

    def __init__(self, read: Callable[..., Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._asked: dict[tuple[object, ...], asyncio.Task[V]] = {}

    def __call__(self, *key: Any) -> asyncio.Task[V]:
        """Return the running `read(*key)`. Other callers may share the task, so do not cancel it."""
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._begin(key), name="shared read")
            task.add_done_callback(_retrieve)
        return task

    async def _begin(self, key: tuple[object, ...]) -> V:
        del self._asked[key]
        return await self._read(*key)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception so that asyncio does not log it when every waiter has gone."""
    if not task.cancelled():
        task.exception()


class LogSnapshot(NamedTuple):
    """A page as its readers share it, with the number of hints when its read began."""

    page: EventPage
    written: StoredEvents
    hints: int


NEVER = -1
"""Used as the number of hints by a reader that must read, even without a hint."""


class IdleTimer:
    """Measures how long a reader has received nothing. All waits of a reader share one timer, since most end early.

    At the limit, the current `waiter` gets `Idle` as its result.
    """

    __slots__ = ("_ends_at", "_limit_seconds", "_loop", "_timer", "waiter")

    def __init__(self, limit_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_seconds = limit_seconds
        self.waiter: asyncio.Future[Any] | None = None
        self.broken()
        self._timer = self._loop.call_at(self._ends_at, self._look_at_time)

    def broken(self) -> None:
        """Restart the limit: the reader receives something."""
        self._ends_at = self._loop.time() + self._limit_seconds

    def close(self) -> None:
        """Cancel the timer."""
        self._timer.cancel()

    async def until_done(self, read: asyncio.Task[Any]) -> AsyncIterator[Idle]:
        """Yield `Idle` each time the limit is reached, until the read is done."""
        while not read.done():
            self.waiter = self._loop.create_future()
            read.add_done_callback(functools.partial(_tell, self.waiter))
            try:
                idle = await self.waiter
            finally:
                self.waiter = None
            if idle:
                yield idle

    def _look_at_time(self) -> None:
        if self._loop.time() >= self._ends_at:
            self.broken()
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(Idle())
        self._timer = self._loop.call_at(self._ends_at, self._look_at_time)


def _tell(waiter: "asyncio.Future[Any]", _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


class LogFanout:
    """Reads one log for its readers in this process, once for all that wait at the same offset.

    A waiting reader is only a log offset. A hint without new events costs one read and wakes nobody.
    """

    __slots__ = ("_due", "_hints", "_read", "_reading", "_topic", "_waiting", "readers")

    def __init__(
        self,
        read: Callable[[int], Coroutine[Any, Any, tuple[EventPage, StoredEvents]]],
        topic: AbstractContextManager[Subscription],
    ) -> None:
        self.readers = 0
        self._read = read
        self._topic = topic
        self._hints = 0
        self._waiting: dict[int, set[asyncio.Future[LogSnapshot | Idle | None]]] = {}
        self._due: set[int] = set()
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._topic.__enter__().on_hint(self._hint)

    def close(self) -> None:
        """Unsubscribe from the hints; the log has no readers left."""
        self._topic.__exit__(None, None, None)

    async def next(self, after: int, seen: int, silence: IdleTimer) -> tuple[LogSnapshot | Idle | None, int]:
        """Wait for a snapshot newer than `seen` that has something for a reader at `after`; None means it was released.

        Also returns the number of hints to pass as `seen` in the next call at this offset. Raises what the read raises.
        """
        waiter: asyncio.Future[LogSnapshot | Idle | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(after, set()).add(waiter)
        if seen != self._hints:
            self._look(after)
        try:
            silence.waiter = waiter
            found = await waiter
            if isinstance(found, LogSnapshot):
                return found, found.hints
            up_to_date = waiter in self._waiting.get(after, ()) and after not in self._reading
            return found, self._hints if up_to_date else NEVER
        finally:
            silence.waiter = None
            self._leave(after, waiter)

    def _hint(self) -> None:
        self._hints += 1
        for after in self._waiting:
            self._look(after)

    def release(self) -> None:
        """Wake all waiting readers."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                _tell(waiter)

    def _leave(self, after: int, waiter: "asyncio.Future[LogSnapshot | Idle | None]") -> None:
        if (waiters := self._waiting.get(after)) is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[after]
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # so that asyncio does not log it after a cancel

    def _look(self, after: int) -> None:
        """Request a new read at this offset: a read that is under way may miss the latest events."""
        self._due.add(after)
        if after not in self._reading:
            self._reading[after] = asyncio.create_task(self._look_at(after), name="shared read")

    async def _look_at(self, after: int) -> None:
        try:
            while after in self._due and after in self._waiting:
                self._due.remove(after)
                hints = self._hints
                page, written = await self._read(after)
                if _is_news(page, after):
                    look = LogSnapshot(page, written, hints)
                    for waiter in self._waiting.pop(after, ()):
                        if not waiter.done():
                            waiter.set_result(look)
        except Exception as error:  # noqa: BLE001  every waiter gets it
            for waiter in self._waiting.pop(after, ()):
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            self._due.discard(after)
            del self._reading[after]


def _is_news(page: EventPage, after: int) -> bool:
    """Return whether a page wakes a reader at `after`. A queued message's page does: its position may have changed."""
    return bool(page.events) or after + 1 < page.first or page.state is MessageState.QUEUED or is_over(page, after)


def is_over(page: EventPage, after: int) -> bool:
    """Return whether the log has ended and a reader at `after` has seen all of it."""
    return after >= page.last and page.state in TERMINAL
