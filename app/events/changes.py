"""Follows the log of changes for the readers in this process: all of them share one read for a hint."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import NamedTuple, Protocol

from ..clock import to_datetime
from ..errors import StoreUnavailable
from ..models.transitions import SERVER, Transition, TransitionPage
from ..observability.outages import Outage
from ..store.ports import CHANGED, MOVED, Notifier, TransitionLog
from ..text import rfc3339
from .fanout import NEVER, Idle, IdleTimer, LogFanout

PAGE_CHANGES = 1_000

READ_SECONDS = 0.05
"""Time from a hint to the read for readers who are up to date. Changes that come meanwhile are read together."""

POLL_SECONDS = 1.0
"""Interval of the polls: about the longest delay of changes without a hint, such as the start of a worker."""

NEWER_SECONDS = 0.02
"""Delay of the next read while changes wait for the end of older transactions. It doubles up to POLL_SECONDS."""

READER_KIND = "changes"

WORKERS = "worker."
"""Prefix of the types of changes that only callers with the scope `admin` see."""


class ChangeFilter(NamedTuple):
    """Selects what a reader sees: the changes of a tenant and of the server. None and empty sets leave nothing out.

    `with_workers` shows the changes of workers. `types` has the types as `type_of` returns them, `states` the states
    after the change.
    """

    tenant: str
    with_workers: bool = False
    types: frozenset[str] = frozenset()
    states: frozenset[str] = frozenset()
    agent: str | None = None
    thread_id: str | None = None

    def shows(self, change: Transition) -> bool:
        """Return whether the reader sees a change."""
        return (
            change.tenant in (self.tenant, SERVER)
            and (self.with_workers or not change.type.startswith(WORKERS))
            and (not self.types or type_of(change) in self.types)
            and (not self.states or change.state in self.states)
            and self.agent in (None, change.agent)
            and self.thread_id in (None, change.thread_id)
        )


def type_of(change: Transition) -> str:
    """Return the type of a change as readers see it, such as `message.completed`."""
    return change.type.value if "." in change.type else f"message.{change.type}"


def fields_of(change: Transition) -> dict[str, str | None]:
    """Return a change as readers see it. Fields that its type does not have are None."""
    return {
        "type": type_of(change),
        "at": rfc3339(to_datetime(change.at)),
        "message_id": change.message_id,
        "thread_id": change.thread_id,
        "agent": change.agent,
        "priority": change.priority,
        "state_before": change.before,
        "state": change.state,
        "error_code": change.error_code,
        "worker_id": change.worker_id,
    }


class ResetReason(StrEnum):
    """Why a reader has to load its lists anew."""

    START = "start"
    EXPIRED = "expired"


def _frame(event: str, cursor: str, data: object) -> str:
    return f"id: {cursor}\nevent: {event}\ndata: {json.dumps(data)}\n\n"


def _reset(cursor: str, reason: ResetReason) -> bytes:
    """Return the event `reset`: the reader loads its lists, and goes on behind the cursor."""
    return _frame("reset", cursor, {"reason": reason}).encode()


class SharedChanges:
    """A page of changes. Readers with equal filters share the bytes."""

    def __init__(self, page: TransitionPage) -> None:
        self.page = page
        self._shown: dict[ChangeFilter, tuple[bytes, str] | None] = {}

    def shown(self, chosen: ChangeFilter) -> tuple[bytes, str] | None:
        """Return the changes that a reader sees as server-sent events, and the last id, else None."""
        if chosen not in self._shown:
            shown = list(filter(chosen.shows, self.page.transitions))
            text = "".join(_frame("change", each.cursor, fields_of(each)) for each in shown)
            self._shown[chosen] = (text.encode("ascii"), shown[-1].cursor) if shown else None
        return self._shown[chosen]


class ChangeSource(TransitionLog, Notifier, Protocol):
    """The ports that change streams read from."""


class ChangeStreams:
    """Follows the log of changes. A waiting reader is only a cursor."""

    def __init__(self, source: ChangeSource, outage: Outage) -> None:
        self._source = source
        self._outage = outage
        self._closing = False
        self._log: LogFanout[str, SharedChanges] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._up_to_date: str | None = None
        """The cursor of readers who have all that there was at the last read."""
        self._newer_seconds = NEWER_SECONDS

    def close(self) -> None:
        """End all streams. Readers can continue on another process after their last id."""
        self._closing = True
        if self._log is not None:
            self._log.release()

    @property
    def is_closing(self) -> bool:
        """Return whether this process closes, so that no further change will be seen."""
        return self._closing

    def hint(self, thread_id: str) -> None:
        """Wake the readers of a thread in this process, who need not wait for the next read then."""
        self._source.publish(_topic_of(thread_id))

    async def newest(self) -> str:
        """Return the cursor of the newest change. Raises StoreUnavailable."""
        return await self._source.newest_transition()

    def open_by_kind(self) -> dict[str, int]:
        """Return how many streams are open, as readers of one kind."""
        return {READER_KIND: 0 if self._log is None else self._log.readers}

    def lag_events(self) -> int:
        """Return 0: how far a cursor is behind is not known."""
        return 0

    async def tail(
        self, chosen: ChangeFilter, *, after: str, starts: bool, idle_seconds: float, hinted: bool = False
    ) -> AsyncGenerator[bytes | Idle]:
        """Yield the changes behind the cursor `after` in the order of their commits, without gaps or duplicates.

        If the reader `starts`, yield the event `reset` first. If changes behind `after` are no longer kept, yield
        `reset` and go on behind the newest change. After `idle_seconds` without an item, yield the event `cursor` if
        the reader's cursor has moved, else `Idle`. If the reader is `hinted`, it needs no cursor: yield `Idle`, and an
        empty text after each `hint` for its thread that comes while it waits. End when this process closes.
        """
        if starts:
            yield _reset(after, ResetReason.START)
        sent, seen = after, NEVER
        topics = [_topic_of(str(chosen.thread_id))] if hinted else []
        with (
            closing(IdleTimer(idle_seconds)) as idle_timer,
            self._shared_log() as log,
            self._source.subscribe(*topics) as hints,
        ):
            hints.on_hint(idle_timer.wake)
            while not self._closing:
                snapshot, seen = await log.next(after, seen, idle_timer)
                if snapshot is None:
                    if not self._closing:
                        yield b""
                    continue
                if isinstance(snapshot, Idle):
                    yield snapshot if hinted or sent == after else _frame("cursor", after, {}).encode()
                    sent = after
                    continue
                page = snapshot.found.page
                seen = snapshot.hints if page.whole else NEVER
                if page.missed:
                    after = sent = await self._newest(page)
                    idle_timer.restart()
                    yield _reset(after, ResetReason.EXPIRED)
                    continue
                after = page.last
                if (shown := snapshot.found.shown(chosen)) is not None:
                    body, sent = shown
                    idle_timer.restart()
                    yield body

    @contextmanager
    def _shared_log(self) -> Iterator[LogFanout[str, SharedChanges]]:
        """Open the fan-out while readers use it. Poll the log, since some changes have no hint."""
        if self._log is None:
            self._log = LogFanout(self._read, self._source.subscribe(MOVED, CHANGED), _wakes_reader)
            self._poller = asyncio.create_task(self._poll(), name="change poller")
        log = self._log
        log.readers += 1
        try:
            yield log
        finally:
            log.readers -= 1
            if not log.readers:
                log.close()
                self._log = None
                if self._poller is not None:
                    self._poller.cancel()

    async def _read(self, after: str) -> SharedChanges:
        """Return the changes of all tenants behind a cursor. Return an empty page while the store is away."""
        if after == self._up_to_date:
            await asyncio.sleep(READ_SECONDS)
        try:
            page = await self._source.read_transitions(None, after=after, limit=PAGE_CHANGES)
        except StoreUnavailable as error:
            self._outage.log("The log of changes could not be read, trying again: error=%s", error)
            page = TransitionPage([], after, missed=False, whole=True)
        self._up_to_date = page.last if page.whole else None
        if page.newer:
            asyncio.get_running_loop().call_later(self._newer_seconds, self._source.publish, CHANGED)
            self._newer_seconds = min(2 * self._newer_seconds, POLL_SECONDS)
        else:
            self._newer_seconds = NEWER_SECONDS
        return SharedChanges(page)

    async def _newest(self, page: TransitionPage) -> str:
        """Return the newest cursor, or the last of a page while the store is away."""
        try:
            return await self._source.newest_transition()
        except StoreUnavailable:
            return page.last

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._source.publish(CHANGED)


def _topic_of(thread_id: str) -> str:
    """Return the topic of hints for the readers of a thread, of any tenant."""
    return f"thread:{thread_id}"


def _wakes_reader(found: SharedChanges, after: str) -> bool:
    """Return whether a page must wake a reader at `after`."""
    return found.page.missed or found.page.last != after
