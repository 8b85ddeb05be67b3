"""Changes threads as a whole."""

import json
from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from ...errors import KeyReused, ThreadNotFound
from ...errors.threads import MetadataTooLarge, ThreadExists, ThreadNotReady, ThreadRunning
from ...models.audit import NewAudit
from ...models.messages import CreatedThread, RequestKey, Thread
from ...models.threads import MemoryRight, NewThread, ThreadChange
from ..limits import KEY_SECONDS, THREAD_METADATA_LENGTH
from ..metadata import merged_metadata, metadata_patch
from ..ports import MOVED, ThreadStore, message_topic
from . import replies
from .rooms import RedisRooms


class RedisThreads(RedisRooms, ThreadStore):
    """Implements `ThreadStore` on Redis."""

    @override
    async def take_memory_right(self, tenant: str, thread_id: str, *, audit: NewAudit | None = None) -> MemoryRight:
        reply = await self._writes.run("take_memory_right", self._now(), tenant, thread_id, audit=self._record(audit))
        number, fence, rollback = _found(reply, thread_id)
        return MemoryRight((int(number), int(fence)), tuple(json.loads(rollback or "[]")))

    @override
    async def change_thread(
        self, tenant: str, thread_id: str, change: ThreadChange, *, audit: NewAudit | None = None
    ) -> Thread:
        name = change.names[0] if change.names else None
        reply = await self._writes.run(
            "change_thread", tenant, thread_id, int(bool(change.names)), "" if name is None else name,
            metadata_patch(change.metadata) or "", THREAD_METADATA_LENGTH, audit=self._record(audit),
        )  # fmt: skip
        if reply == "large":
            raise MetadataTooLarge(THREAD_METADATA_LENGTH)
        return replies.thread(_found(reply, thread_id))

    @override
    async def delete_thread(self, tenant: str, thread_id: str, *, audit: NewAudit | None = None) -> None:
        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *map(message_topic, reply)) if isinstance(reply, list) else ()

        reply = await self._writes.run(
            "delete_thread",
            self._now(),
            tenant,
            thread_id,
            KEY_SECONDS * 1000,
            topics=topics,
            audit=self._record(audit),
        )
        _found(reply, thread_id)

    @override
    async def create_thread(
        self,
        tenant: str,
        thread_id: str,
        new: NewThread,
        *,
        keeps_existing: bool = False,
        key: RequestKey | None = None,
    ) -> CreatedThread:
        reply = await self._writes.run(
            "create_thread", self._now(), tenant, thread_id, *_fields(new), int(keeps_existing),
            *((key.tenant, key.key, key.fingerprint) if key else ("", "", "")), KEY_SECONDS * 1000,
        )  # fmt: skip
        match reply:
            case "taken":
                raise ThreadExists(thread_id)
            case "hidden":
                raise ThreadNotReady(thread_id)
            case "reused":
                raise KeyReused
        columns, is_new, replayed = _found(reply, thread_id)
        return CreatedThread(replies.thread(columns), bool(is_new), bool(replayed))

    @override
    async def draft_thread(self, tenant: str, thread_id: str) -> None:
        if not await self._writes.run("draft_thread", self._now(), tenant, thread_id):
            raise ThreadExists(thread_id)

    @override
    async def publish_thread(
        self, tenant: str, thread_id: str, new: NewThread, *, audit: NewAudit | None = None
    ) -> Thread:
        reply = await self._writes.run(
            "publish_thread", self._now(), tenant, thread_id, *_fields(new), audit=self._record(audit)
        )
        return replies.thread(_found(reply, thread_id))

    @override
    async def abandon_thread(self, tenant: str, thread_id: str) -> None:
        await self._writes.run("abandon_thread", tenant, thread_id)


def _fields(new: NewThread) -> tuple[str, str, str, str]:
    """Return the source, the name, the metadata and the subject of a new thread, with '' for none."""
    return new.source_json or "", new.name or "", merged_metadata(None, new.metadata) or "", new.subject or ""


def _found(reply: Any, thread_id: str) -> Any:
    """Return the reply. Raises ThreadNotFound or ThreadRunning if the script refused."""
    if reply is None:
        raise ThreadNotFound(thread_id)
    if reply == "running":
        raise ThreadRunning(thread_id)
    return reply
