"""Shares reads of logs among the readers in this process."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar, cast

from ..models.events import Event, EventPage
from ..models.messages import MessageState
from ..policy.lifecycle import TERMINAL
from ..store.handles import Subscription

V = TypeVar("V")
P = TypeVar("P")
F = TypeVar("F")


class StoredEvents:
    """Consecutive stored events. All readers of these events share one object.

    `is_newest` tells that the last one was the newest of its log when they were read.
    """

    def __init__(self, events: Sequence[Event], *, is_newest: bool = False) -> None:
        self.events = events
        self.is_newest = is_newest
        self._views: dict[Hashable, object] = {}

    @cached_property
    def frames(self) -> bytes:
        """Return the events as server-sent events. The frames are built once and shared by all readers."""
        return "".join(f"id: {e.id}\nevent: {e.type}\ndata: {e.data}\n\n" for e in self.events).encode("ascii")

    def view(self, key: Hashable, make: Callable[[Sequence[Event]], V]) -> V:
        """Return the events in another form. Readers with an equal key share what the first one made."""
        if key not in self._views:
            self._views[key] = make(self.events)
        return cast(V, self._views[key])

    def parts(self, most: int) -> Sequence["StoredEvents"]:
        """Return the events in parts of at most `most`. Readers share the parts as they share the whole."""
        if len(self.events) <= most:
            return (self,)
        return self.view(
            ("parts", most),
            lambda events: [StoredEvents(events[at : at + most]) for at in range(0, len(events), most)],
        )


@dataclass(frozen=True, slots=True)
class Idle:
    """Reports that a reader received nothing for its `idle_seconds`."""


class SingleFlight(Generic[V]):
    """Merges calls with the same key: calls in one turn of the event loop share one read.

    A call in a later turn starts a new read, since the earlier read may miss the newest event.
    """

    def __init__(self, read: Callable[..., Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._starting: dict[tuple[object, ...], asyncio.Task[V]] = {}

    def __call__(self, *key: Any) -> asyncio.Task[V]:
        """Return the task that runs `read(*key)`. Other callers may share the task, so do not cancel it."""
        task = self._starting.get(key)
        if task is None:
            task = self._starting[key] = asyncio.create_task(self._begin(key), name="shared read")
            task.add_done_callback(_retrieve)
        return task

    async def _begin(self, key: tuple[object, ...]) -> V:
        del self._starting[key]
        return await self._read(*key)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception so that asyncio does not log it when every waiter has gone."""
    if not task.cancelled():
        task.exception()


class LogPage(NamedTuple):
    """A page of a message's log, and its events as readers share them."""

    page: EventPage
    stored: StoredEvents


class LogSnapshot(NamedTuple, Generic[F]):
    """The result of one read of a log, shared by its readers. `hints` is the number of hints before the read began."""

    found: F
    hints: int


NEVER = -1
"""A number of hints for `LogFanout.next` that requests a read even without a new hint."""


class IdleTimer:
    """Measures how long a reader has received nothing.

    A reader has one timer for all of its waits. At the limit, the current `waiter` gets `Idle` as its result.
    """

    __slots__ = ("_ends_at", "_limit_seconds", "_loop", "_timer", "waiter")

    def __init__(self, limit_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_seconds = limit_seconds
        self.waiter: asyncio.Future[Any] | None = None
        self.restart()
        self._timer = self._loop.call_at(self._ends_at, self._check_idle)

    def restart(self) -> None:
        """Start the limit again: the reader has received something."""
        self._ends_at = self._loop.time() + self._limit_seconds

    def wake(self) -> None:
        """Give the reader None if it waits now."""
        if self.waiter is not None:
            _wake(self.waiter)

    def close(self) -> None:
        """Cancel the timer."""
        self._timer.cancel()

    async def until_done(self, read: asyncio.Task[Any]) -> AsyncIterator[Idle]:
        """Wait until `read` is done. Yield `Idle` each time that the idle limit passes meanwhile."""
        while not read.done():
            self.waiter = self._loop.create_future()
            read.add_done_callback(functools.partial(_wake, self.waiter))
            try:
                idle = await self.waiter
            finally:
                self.waiter = None
            if idle:
                yield idle

    def _check_idle(self) -> None:
        if self._loop.time() >= self._ends_at:
            self.restart()
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_result(Idle())
        self._timer = self._loop.call_at(self._ends_at, self._check_idle)


def _wake(waiter: "asyncio.Future[Any]", _: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


class LogFanout(Generic[P, F]):
    """Reads one log for all readers in this process. Readers at the same offset share each read.

    A waiting reader is only a log offset. A hint without new events costs one read and wakes nobody. `wakes` tells
    whether what a read found must wake a reader at an offset.
    """

    __slots__ = ("_hints", "_read", "_reading", "_requested", "_topic", "_waiting", "_wakes", "last", "readers")

    def __init__(
        self,
        read: Callable[[P], Coroutine[Any, Any, F]],
        topic: AbstractContextManager[Subscription],
        wakes: Callable[[F, P], bool],
    ) -> None:
        self.readers = 0
        self.last = 0
        self._read = read
        self._topic = topic
        self._wakes = wakes
        self._hints = 0
        self._waiting: dict[P, set[asyncio.Future[LogSnapshot[F] | Idle | None]]] = {}
        self._requested: set[P] = set()
        self._reading: dict[P, asyncio.Task[None]] = {}
        self._topic.__enter__().on_hint(self._hint)

    def close(self) -> None:
        """Unsubscribe from the hints, and cancel reads. Call this when no reader is left."""
        self._topic.__exit__(None, None, None)
        for reading in self._reading.values():
            reading.cancel()

    async def next(self, after: P, seen: int, idle_timer: IdleTimer) -> tuple[LogSnapshot[F] | Idle | None, int]:
        """Wait for a snapshot that concerns a reader at the offset `after` and that is newer than hint number `seen`.

        Return the snapshot, `Idle` at the limit of `idle_timer`, or None after `release`, each with the value of `seen`
        for the next call. Raises the error of the read.
        """
        waiter: asyncio.Future[LogSnapshot[F] | Idle | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(after, set()).add(waiter)
        if seen != self._hints:
            self._request_read(after)
        try:
            idle_timer.waiter = waiter
            found = await waiter
            if isinstance(found, LogSnapshot):
                return found, found.hints
            up_to_date = waiter in self._waiting.get(after, ()) and after not in self._reading
            return found, self._hints if up_to_date else NEVER
        finally:
            idle_timer.waiter = None
            self._leave(after, waiter)

    def _hint(self) -> None:
        self._hints += 1
        for after in self._waiting:
            self._request_read(after)

    def release(self) -> None:
        """Wake all waiting readers, and give them no snapshot."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                _wake(waiter)

    def _leave(self, after: P, waiter: "asyncio.Future[LogSnapshot[F] | Idle | None]") -> None:
        if (waiters := self._waiting.get(after)) is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[after]
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # otherwise asyncio logs it after a cancel

    def _request_read(self, after: P) -> None:
        """Request a read at `after` that begins later than this call. A running read may miss the newest events."""
        self._requested.add(after)
        if after not in self._reading:
            self._reading[after] = asyncio.create_task(self._read_until_current(after), name="shared read")

    async def _read_until_current(self, after: P) -> None:
        try:
            while after in self._requested and after in self._waiting:
                self._requested.remove(after)
                hints = self._hints
                found = await self._read(after)
                if self._wakes(found, after):
                    snapshot = LogSnapshot(found, hints)
                    for waiter in self._waiting.pop(after, ()):
                        if not waiter.done():
                            waiter.set_result(snapshot)
        except Exception as error:  # noqa: BLE001  raised again by every waiter
            for waiter in self._waiting.pop(after, ()):
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            self._requested.discard(after)
            del self._reading[after]


def wakes_reader(found: LogPage, after: int) -> bool:
    """Return whether a page must wake a reader at `after`.

    The page of a queued message always wakes the reader, since the message's position may have changed.
    """
    page = found.page
    return bool(page.events) or after + 1 < page.first or page.state is MessageState.QUEUED or is_over(page, after)


def is_over(page: EventPage, after: int) -> bool:
    """Return whether the log has ended and a reader at `after` has seen all of it."""
    return after >= page.last and page.state in TERMINAL
