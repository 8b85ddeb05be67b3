"""The event log of each message."""

from collections.abc import Sequence
from typing import Protocol

from ...models.attempts import Lease
from ...models.events import EventPage, NewEvent
from ...models.usage import ModelUsage


class EventLog(Protocol):
    """Appends to message logs and reads them. Ids are 1..n without gaps. An event is stored before it is shown."""

    async def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        """Append events in order and return the id of the last event. Raises LeaseLost, and then appends nothing.

        `usage` is what the `usage` events among them tell of, each model once. It is added to the usage of the message
        and of the present hour in the same transaction (tests/contract/test_usage.py).
        """

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """Return up to `limit` events with ids above `after`, and the message's state, from one snapshot.

        Returns fewer events when their data reach PAGE_LOG_LENGTH, but at least one if any is left. Raises
        MessageNotFound, also for another tenant's message.
        """
