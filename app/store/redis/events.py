"""Appends to event logs and reads them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import override

from ...errors import LeaseLost, MessageNotFound
from ...models.attempts import Lease
from ...models.events import EventPage, NewEvent
from ...models.usage import ModelUsage
from ..limits import PAGE_LOG_LENGTH
from ..ports import EventLog, message_topic
from . import replies, templates
from .rooms import RedisRooms


class RedisEvents(RedisRooms, EventLog):
    """Implements `EventLog` on Redis."""

    @override
    async def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        def topics(reply: Any) -> Iterable[str]:
            return (message_topic(lease.message_id),) if reply else ()

        now, held = self._now(), (lease.message_id, lease.fence)
        stored = templates.stored(events, now)
        last: int | None
        if usage:
            last = await self._writes.run("append_with_usage", now, *held, json.dumps(usage), *stored, topics=topics)
        else:
            last = await self._writes.run("append", now, *held, *stored, topics=topics)
        if last is None:
            raise LeaseLost(lease.message_id, lease.fence)
        return last

    @override
    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        reply = await self._reads.run("read", tenant, message_id, after, limit, PAGE_LOG_LENGTH)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.event_page(reply)
