"""Follows runs for readers of streams, in the form that a surface gives to their events."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from ..access.principals import Principal
from ..api.errors import ServerStopping
from ..api.streaming import KEEP_ALIVE, tail_of
from ..errors import AgentQueueError, MessageNotFound
from ..errors.events import EventsLost
from ..events.changes import ChangeFilter
from ..events.fanout import Idle, StoredEvents
from ..events.tail import Reset, TailItem, WaitingUpdate
from ..models.events import Event
from ..services import Services
from .cut_runs import EventsGone, RunDeleted
from .runs import Run

PAGE_EVENTS = 2_000

PART_EVENTS = 100
"""Most events that are projected at a time: 2 to 10 ms of work. Between two parts, this process serves others."""


class RunReader(Protocol):
    """One reader's way through the frames of a run. It is given the run's stored events in order."""

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the run."""

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers share them by `StoredEvents.view`."""

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return what tells the position in the queue; empty for nothing."""

    def can_skip(self) -> bool:
        """Return whether the last event of the run alone gives the reader the whole result."""

    def cut_off(self, error: AgentQueueError) -> bytes:
        """Return what tells that nothing more comes before the end of the run; empty if clients find out by themselves.

        `error` is ServerStopping, RunDeleted or EventsGone.
        """


async def followed(
    services: Services, caller: Principal, run: Run, reader: RunReader, *, after: int
) -> AsyncGenerator[TailItem | bytes]:
    """Yield the frames of the events after the event `after` until the run has ended, and keep-alives meanwhile.

    A stream that ends before the run does says why.
    """
    if reader.has_ended():
        return
    why: AgentQueueError = ServerStopping()
    try:
        async with aclosing(tail_of(services, caller.tenant, run.message.id, after)) as items:
            async for item in items:
                if isinstance(item, StoredEvents):
                    for at, part in enumerate(item.parts(PART_EVENTS)):
                        if at:
                            await asyncio.sleep(0)
                        if body := reader.frames_of(part):
                            yield body
                elif body := _live(item, reader):
                    yield body
                if reader.has_ended():
                    return
    except MessageNotFound:
        why = RunDeleted()
    except EventsGone as error:
        why = error
    if told := reader.cut_off(why):
        yield told


def _live(item: WaitingUpdate | Reset | Idle, reader: RunReader) -> bytes:
    """Return what an item gives that is not stored. Raises EventsGone for a gap that the reader cannot skip."""
    match item:
        case WaitingUpdate():
            return reader.waiting(item)
        case Idle():
            return KEEP_ALIVE
        case Reset():
            if not reader.can_skip():
                raise EventsGone
            return b""


async def thread_changes(services: Services, caller: Principal, thread_id: str) -> AsyncGenerator[bytes | Idle]:
    """Return a generator that yields a text when a thread may have changed from now on, and `Idle` meanwhile."""
    chosen = ChangeFilter(caller.tenant, thread_id=thread_id)
    after = await services.changes.newest()
    seconds = services.settings.keepalive_seconds
    return services.changes.tail(chosen, after=after, starts=False, idle_seconds=seconds, hinted=True)


def position_comment(update: WaitingUpdate) -> bytes:
    """Return a comment that tells the position in the queue."""
    return b": queued\n" if update.position is None else f": queued, position {update.position}\n".encode()


async def stored_events(
    services: Services, caller: Principal, run: Run, after: int, last: int
) -> AsyncGenerator[Sequence[Event]]:
    """Yield the stored events after the event `after` up to `last`, as far as they are kept, in parts.

    Raises EventsLost if the log ends before `last`: the reader named an event that never was, or a crash of the
    database took events since `last` was read. Raises MessageNotFound.
    """
    while after < last:
        limit = min(PAGE_EVENTS, last - after)
        page = await services.log.read(caller.tenant, run.message.id, after=after, limit=limit)
        if page.last < last:
            raise EventsLost(page.last)
        if not page.events:  # they are no longer kept
            return
        for at in range(0, len(page.events), PART_EVENTS):
            yield page.events[at : at + PART_EVENTS]
            await asyncio.sleep(0)
        after = page.events[-1].id
