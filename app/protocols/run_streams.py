"""Follows runs for readers of streams, in the form that a surface gives to their events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Protocol

from ..access.principals import Principal
from ..api.streaming import KEEP_ALIVE, tail_of
from ..events.fanout import Idle, StoredEvents
from ..events.tail import TailItem, WaitingUpdate
from ..models.events import Event
from ..services import Services
from .runs import Run

PAGE_EVENTS = 2_000

PART_EVENTS = 200
"""Most events that are projected at a time: some 3 ms of work. Between two parts, this process serves others."""


class RunReader(Protocol):
    """One reader's way through the frames of a run. It is given the run's stored events in order."""

    def has_ended(self) -> bool:
        """Return whether the events so far have the end of the run."""

    def frames_of(self, stored: StoredEvents) -> bytes:
        """Return the frames that the next events give. Readers share them by `StoredEvents.view`."""

    def waiting(self, update: WaitingUpdate) -> bytes:
        """Return what tells the position in the queue; empty for nothing."""


async def followed(
    services: Services, caller: Principal, run: Run, reader: RunReader, *, after: int
) -> AsyncGenerator[TailItem | bytes]:
    """Yield the frames of the events after the event `after` until the run has ended, and keep-alives meanwhile."""
    if reader.has_ended():
        return
    async with aclosing(tail_of(services, caller.tenant, run.message.id, after)) as items:
        async for item in items:
            match item:
                case StoredEvents():
                    body = b""
                    for part in item.parts(PART_EVENTS):
                        if body:
                            yield body
                            await asyncio.sleep(0)
                        body = reader.frames_of(part)
                case WaitingUpdate():
                    body = reader.waiting(item)
                case Idle():
                    body = KEEP_ALIVE
                case _:
                    continue
            if body:
                yield body
            if reader.has_ended():
                return


def position_comment(update: WaitingUpdate) -> bytes:
    """Return a comment that tells the position in the queue."""
    return b": queued\n" if update.position is None else f": queued, position {update.position}\n".encode()


async def stored_events(
    services: Services, caller: Principal, run: Run, after: int, last: int
) -> AsyncIterator[Sequence[Event]]:
    """Yield the stored events after the event `after` up to `last`, as far as they are kept, in parts.

    Raises LookupError, with the id of the newest event, if the log ends before `last`.
    """
    while after < last:
        limit = min(PAGE_EVENTS, last - after)
        page = await services.log.read(caller.tenant, run.message.id, after=after, limit=limit)
        if page.last < last:
            raise LookupError(page.last)
        if not page.events:  # they are no longer kept
            return
        for at in range(0, len(page.events), PART_EVENTS):
            yield page.events[at : at + PART_EVENTS]
            await asyncio.sleep(0)
        after = page.events[-1].id
