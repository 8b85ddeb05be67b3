"""Reading that is shared by those in this process who want the same: one log's readers, and who asks in one turn."""

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
    """Stored events, one behind the other. All readers who want them share the object, and so the frames."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    @cached_property
    def frames(self) -> bytes:
        """As server-sent events: made of the stored text, once for all readers."""
        return "".join(f"id: {e.id}\nevent: {e.type}\ndata: {e.data}\n\n" for e in self.events).encode("ascii")


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for the time that the reader asked for."""


class SingleFlight(Generic[V]):
    """Reads once for all who ask for the same in one turn of the event loop, as readers do that one hint has woken.

    Who asks in a later turn has a read of his own: one that had begun before may not show what he was woken for.
    """

    def __init__(self, read: Callable[..., Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._asked: dict[tuple[object, ...], asyncio.Task[V]] = {}

    def __call__(self, *key: Any) -> asyncio.Task[V]:
        """`read(*key)`, under way. It is not the caller's alone: not to be cancelled."""
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._begin(key), name="shared read")
            task.add_done_callback(_retrieve)
        return task

    async def _begin(self, key: tuple[object, ...]) -> V:
        del self._asked[key]
        return await self._read(*key)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Of a read that nobody waited for to its end, the error is nobody's."""
    if not task.cancelled():
        task.exception()


class LogSnapshot(NamedTuple):
    """A page as its readers share it, and how many hints there had been when its reading began."""

    page: EventPage
    written: StoredEvents
    hints: int


NEVER = -1
"""In place of a number of hints: of a reader who has to look, whether there was one or not."""


class IdleTimer:
    """How long a reader has been told nothing. One timer for all of his waits, since most end long before it.

    When the silence has become too long, the `waiter` of the moment gets `Idle`, which breaks it.
    """

    __slots__ = ("_ends_at", "_limit_seconds", "_loop", "_timer", "waiter")

    def __init__(self, limit_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_seconds = limit_seconds
        self.waiter: asyncio.Future[Any] | None = None
        self.broken()
        self._timer = self._loop.call_at(self._ends_at, self._look_at_time)

    def broken(self) -> None:
        """The reader is being told something."""
        self._ends_at = self._loop.time() + self._limit_seconds

    def close(self) -> None:
        """Let go of the timer."""
        self._timer.cancel()

    async def until_done(self, read: asyncio.Task[Any]) -> AsyncIterator[Idle]:
        """`Idle` each time that the silence has become too long, until a read is done."""
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
    """One log as its readers in this process share it: a read for all who wait at the same place.

    Who waits is a position, nothing more, and is woken when there is news for it: a hint that brings none, or the look
    without a hint, costs a read, and no reader a step.
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
        """Nobody reads it any more."""
        self._topic.__exit__(None, None, None)

    async def next(self, after: int, seen: int, silence: IdleTimer) -> tuple[LogSnapshot | Idle | None, int]:
        """A look from behind `after` with news, which began with another number of hints than `seen`; None on release.

        The number is the one to come back with, from the same place. Raises what reading raises.
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
        """Wake all who wait."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                _tell(waiter)

    def _leave(self, after: int, waiter: "asyncio.Future[LogSnapshot | Idle | None]") -> None:
        if (waiters := self._waiting.get(after)) is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[after]
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # of one whose reader was cancelled meanwhile, it is nobody's

    def _look(self, after: int) -> None:
        """Have it read from now on: a read that began before may not show what there is by now."""
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
        except Exception as error:  # noqa: BLE001  told to all who wait for it
            for waiter in self._waiting.pop(after, ()):
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            self._due.discard(after)
            del self._reading[after]


def _is_news(page: EventPage, after: int) -> bool:
    """Whether a page has something to do for a reader; one who waits in the queue may have another place in it."""
    return bool(page.events) or after + 1 < page.first or page.state is MessageState.QUEUED or is_over(page, after)


def is_over(page: EventPage, after: int) -> bool:
    """Whether a reader who has seen `after` has seen all of a log that has ended."""
    return after >= page.last and page.state in TERMINAL
