"""The event log of each message."""

from collections.abc import Sequence
from typing import Protocol

from ...models.attempts import Lease
from ...models.events import EventPage, NewEvent


class EventLog(Protocol):
    """Appends to message logs and reads them. Ids are 1..n without gaps. An event is stored before it is shown."""

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """Append events in order and return the id of the last event. Raises LeaseLost, and then appends nothing."""

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """Return up to `limit` events with ids above `after`, and the message's state, from one snapshot.

        Returns fewer events when their data reach PAGE_LOG_LENGTH, but at least one if any is left. Raises
        MessageNotFound, also for another tenant's message.
        """
