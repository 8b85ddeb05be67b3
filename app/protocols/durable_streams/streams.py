"""Streams as their readers see them: places, and batches of events between two places."""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, Protocol

from ...errors import InvalidRequest
from ...events.fanout import Idle, StoredEvents
from ...events.tail import WaitingUpdate
from .forms import Segment
from .places import Place

PAGE_EVENTS = 2_000
"""Most events in the reply to a read."""


class Batch(NamedTuple):
    """Events that a reader gets together, and the place behind them.

    `is_newest` tells that nothing follows yet, `is_closed` that nothing ever follows. `stored` has the events as
    readers share them, if they are of one message.
    """

    segments: Sequence[Segment]
    place: Place
    is_newest: bool
    is_closed: bool = False
    stored: StoredEvents | None = None


class Stream(Protocol):
    """A stream for one caller."""

    def offset_of(self, place: Place) -> str:
        """Return the offset of a place."""

    async def place_of(self, offset: str) -> Place:
        """Return the place of an offset that a reader sent. Raises InvalidRequest, Gone."""

    async def tail(self) -> Batch:
        """Return an empty batch at the newest place."""

    async def read(self, place: Place, limit: int = PAGE_EVENTS) -> Batch:
        """Return up to `limit` events behind a place.

        Raises InvalidRequest for a place behind the newest one, EventsGone if events behind the place are no longer
        kept, unless the place is the beginning.
        """

    def follow(self, place: Place) -> AsyncGenerator[Batch | WaitingUpdate | Idle]:
        """Yield the events behind a place as they come, until the stream is closed or this process stops.

        Yield a batch without events when there is nothing more for now, positions in the queue, and `Idle` at each
        keep-alive interval. Raises EventsGone.
        """


def beyond(told: str) -> InvalidRequest:
    """Return the error for a place behind the newest event, which `told` names.

    A crash of the database may have lost events that a reader has seen.
    """
    return InvalidRequest(f"offset: {told}. Begin with offset=-1", field="offset")
