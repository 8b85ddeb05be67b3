"""Cancels, reprioritizes, resumes, requeues and purges messages; pauses the queue."""

from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import override

from ...errors import (
    AliasTaken,
    KeyReused,
    MessageNotFound,
    NotCancellable,
    NotFailed,
    NotInterrupted,
    NotQueued,
)
from ...errors.workers import WorkerNotFound
from ...models.audit import NewAudit
from ...models.messages import Accepted, Message, MessageState, Priority, RequestKey
from ..limits import PAGE_TEXT_LENGTH
from ..ports import CANCELS, CHANGED, MOVED, READY, WORKERS, ControlStore, message_topic
from ..rows import DRAIN_CHANGES, DRAIN_STATES, preview, requeued
from ..terminal_states import REQUEUED
from . import replies, templates
from .rooms import RedisRooms, key_arguments

READ_AT_ONCE = 100
"""Maximum number of messages or positions that one script reads."""


class RedisControl(RedisRooms, ControlStore):
    """Implements `ControlStore` on Redis."""

    @override
    async def cancel(
        self,
        tenant: str,
        message_id: str,
        *,
        running: bool = False,
        asks: bool = False,
        audit: NewAudit | None = None,
    ) -> Message:
        def topics(reply: Any) -> Iterable[str]:
            if not isinstance(reply, list):
                return ()
            if replies.message(reply[0]).state is MessageState.PROCESSING:
                return (CANCELS, message_topic(message_id))
            return (READY, MOVED, message_topic(message_id))

        reply = await self._writes.run(
            "cancel",
            self._now(),
            tenant,
            message_id,
            templates.CANCELLED,
            "asks" if asks else int(running),
            topics=topics,
            audit=self._record(audit),
        )
        if reply is None:
            raise MessageNotFound(message_id)
        if isinstance(reply, str):
            raise NotCancellable(message_id, MessageState(reply), running=running)
        columns, left = reply
        cancelled = replies.message(columns)
        await self._settle(left, [cancelled])
        return cancelled

    @override
    async def reprioritize(
        self, tenant: str, message_id: str, priority: Priority, *, audit: NewAudit | None = None
    ) -> Message:
        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, message_topic(message_id)) if isinstance(reply, list) else ()

        reply = await self._writes.run(
            "reprioritize",
            self._now(),
            tenant,
            message_id,
            priority.value,
            self._order,
            *self._priority_ranks(),
            topics=topics,
            audit=self._record(audit),
        )
        if reply is None:
            raise MessageNotFound(message_id)
        if isinstance(reply, str):
            raise NotQueued(message_id, MessageState(reply))
        *row, left = reply
        message = replies.message(*row)
        await self._settle(left, [message])
        return message

    @override
    async def resume(
        self,
        tenant: str,
        message_id: str,
        fence: int,
        value: str,
        *,
        key: RequestKey | None = None,
        alias: str | None = None,
        audit: NewAudit | None = None,
    ) -> Accepted:
        def topics(reply: Any) -> Iterable[str]:
            changed = isinstance(reply, list) and not reply[2]
            return (READY, MOVED, message_topic(message_id)) if changed else ()

        reply = await self._writes.run(
            "resume", self._now(), tenant, message_id, fence, value, templates.resumed(value), *key_arguments(key),
            alias or "", topics=topics, audit=self._record(audit),
        )  # fmt: skip
        if reply is None:
            raise MessageNotFound(message_id)
        if reply == "reused":
            raise KeyReused
        if reply == "taken":
            raise AliasTaken(alias or "")
        if isinstance(reply, str):
            raise NotInterrupted(message_id, MessageState(reply))
        columns, position, replayed = reply
        return Accepted([replies.message(columns, position)], bool(replayed))

    @override
    async def requeue(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[Message]:
        # One script moves all messages. It returns no texts, so unchanged fields are read before.
        ids = list(dict.fromkeys(message_ids))
        dead = await self._get_each(tenant, ids)
        named = [
            part
            for message_id in ids
            for part in (message_id, preview(dead[message_id].content) if message_id in dead else "")
        ]

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, *map(message_topic, ids)) if reply[0] else ()

        reply = await self._writes.run(
            "requeue",
            self._now(),
            tenant,
            templates.retry(REQUEUED),
            *self._priority_ranks(),
            self._order,
            *named,
            topics=topics,
            audit=self._record(audit),
        )
        _raise_refusal(reply)
        _, receipts, left = reply
        messages = [requeued(dead[message_id], *receipt) for message_id, receipt in zip(ids, receipts, strict=True)]
        await self._settle(left, messages)
        return await self._with_positions(messages)

    async def _get_each(self, tenant: str, ids: Sequence[str]) -> dict[str, Message]:
        """Return the messages with these ids that belong to the tenant, by id."""
        found: dict[str, Message] = {}
        first = 0
        while first < len(ids):
            rows = await self._reads.run("get_each", tenant, PAGE_TEXT_LENGTH, *ids[first : first + READ_AT_ONCE])
            messages = [replies.message(row) for row in rows if row]
            found |= {message.id: message for message in messages}
            first += len(rows)
        return found

    async def _with_positions(self, messages: Sequence[Message]) -> list[Message]:
        """Return requeued messages with their positions. A message that was claimed meanwhile gets 0."""
        found: list[Message] = []
        for first in range(0, len(messages), READ_AT_ONCE):
            part = messages[first : first + READ_AT_ONCE]
            named = [field for each in part for field in (each.number, each.id)]
            positions = await self._reads.run("positions", *named)
            found += [each._replace(queue_position=place or 0) for each, place in zip(part, positions, strict=True)]
        return found

    @override
    async def purge(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[str]:
        ids = list(dict.fromkeys(message_ids))

        def topics(reply: Any) -> Iterable[str]:
            return (CHANGED, *map(message_topic, ids)) if reply[0] else ()

        reply = await self._writes.run("purge", self._now(), tenant, *ids, topics=topics, audit=self._record(audit))
        _raise_refusal(reply)
        return [Message.memory_key_of(tenant, None, message_id) for message_id in reply[1]]

    @override
    async def pause(self, paused: bool, *, audit: NewAudit | None = None) -> None:
        await self._writes.run(
            "pause", self._now(), int(paused), topics=lambda _: (READY, MOVED), audit=self._record(audit)
        )

    @override
    async def drain_worker(self, worker_id: str, *, draining: bool, audit: NewAudit | None = None) -> None:
        found = await self._writes.run(
            "drain_worker",
            self._now(),
            worker_id,
            DRAIN_STATES[draining].value,
            DRAIN_CHANGES[draining].value,
            topics=lambda found: (WORKERS, MOVED) if found else (),
            audit=self._record(audit),
        )
        if not found:
            raise WorkerNotFound(worker_id)


def _raise_refusal(reply: Any) -> None:
    """Raise MessageNotFound or NotFailed if `requeue` or `purge` was refused."""
    match reply:
        case [0, message_id, None]:
            raise MessageNotFound(message_id)
        case [0, message_id, state]:
            raise NotFailed(message_id, MessageState(state))
