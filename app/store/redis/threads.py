"""Reads threads, and changes them as a whole."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from typing_extensions import override

from ...errors import KeyReused, ThreadNotFound
from ...errors.erasures import ErasureInProgress
from ...errors.threads import MetadataTooLarge, ThreadExists, ThreadMoved, ThreadNotReady, ThreadRunning
from ...models.audit import NewAudit
from ...models.messages import CreatedThread, Message, Page, RequestKey, Thread
from ...models.threads import (
    EVERY_THREAD,
    LATEST_FIRST,
    MemoryRight,
    NewThread,
    ThreadChange,
    ThreadFilter,
    ThreadOrder,
    ThreadSort,
)
from ..limits import KEY_SECONDS, PAGE_TEXT_LENGTH, THREAD_METADATA_LENGTH
from ..metadata import merged_metadata, metadata_patch, wanted_thread_metadata
from ..ports import MOVED, ThreadStore, message_topic
from . import replies
from .queries import SCAN_LENGTH, visible_arguments
from .rooms import RedisRooms

NO_ERASURE = ("", "")
"""Arguments of `delete_thread.lua` for a thread that no erasure deletes."""

ANY_THREAD = "-"
"""The argument of `delete_thread.lua` for a thread that need not have expired."""

EXPIRED_AT_ONCE = 100
"""Maximum number of threads that one script finds."""


class RedisThreads(RedisRooms, ThreadStore):
    """Implements `ThreadStore` on Redis.

    A filter may skip many threads. Several short scripts let the server do other work in between.
    """

    @override
    async def list_threads(
        self, tenant: str, page: Page, chosen: ThreadFilter = EVERY_THREAD, order: ThreadOrder = LATEST_FIRST
    ) -> list[Thread]:
        found: list[Thread] = []
        cursor: tuple[int | str, str] | None = page.cursor or ("", "")
        while cursor is not None and len(found) < page.limit:
            rows, *last = await self._reads.run(
                "list_threads", tenant, page.limit - len(found), *cursor, SCAN_LENGTH, _set_of(order),
                int(order.descending), *_filter_arguments(chosen),
            )  # fmt: skip
            found += map(replies.thread, rows)
            cursor = (last[0], last[1]) if last else None
        return found

    @override
    async def count_threads(self, tenant: str, chosen: ThreadFilter = EVERY_THREAD) -> int:
        total = 0
        cursor: tuple[int | str, str] | None = ("", "")
        order = ThreadOrder(ThreadSort.CREATED, descending=False)  # no thread changes its place meanwhile
        while cursor is not None:
            count, *last = await self._reads.run(
                "count_threads", tenant, SCAN_LENGTH + 1, *cursor, SCAN_LENGTH, _set_of(order), int(order.descending),
                *_filter_arguments(chosen),
            )  # fmt: skip
            total += count
            cursor = (last[0], last[1]) if last else None
        return total

    @override
    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        reply = await self._reads.run("get_thread", tenant, thread_id)
        if reply is None:
            raise ThreadNotFound(thread_id)
        return replies.thread(reply)

    @override
    async def list_thread_messages(
        self, tenant: str, thread_id: str, *, after: int, limit: int, agents: frozenset[str] | None = None
    ) -> list[Message]:
        reply = await self._reads.run(
            "list_thread_messages",
            tenant,
            thread_id,
            after,
            limit,
            PAGE_TEXT_LENGTH,
            "" if agents is None else json.dumps(dict.fromkeys(agents, True)),
        )
        if reply is None:
            raise ThreadNotFound(thread_id)
        return [replies.message(*each) for each in reply]

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
            metadata_patch(change.metadata) or "", THREAD_METADATA_LENGTH, int(bool(change.ttls)),
            "" if change.ttl_ms is None else change.ttl_ms, audit=self._record(audit),
        )  # fmt: skip
        if reply == "large":
            raise MetadataTooLarge(THREAD_METADATA_LENGTH)
        return replies.thread(_found(reply, thread_id))

    @override
    async def delete_thread(
        self, tenant: str, thread_id: str, *, last_number: int | None = None, audit: NewAudit | None = None
    ) -> None:
        reply = await self._writes.run(
            "delete_thread",
            self._now(),
            tenant,
            thread_id,
            KEY_SECONDS * 1000,
            "" if last_number is None else last_number,
            *NO_ERASURE,
            ANY_THREAD,
            topics=_topics_of_deleted,
            audit=self._record(audit),
        )
        if reply == "moved":
            raise ThreadMoved(thread_id)
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
            case ["erasing", kind]:
                raise ErasureInProgress(kind)
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
        match reply:
            case ["erasing", kind]:
                raise ErasureInProgress(kind)
        return replies.thread(_found(reply, thread_id))

    @override
    async def expire_threads(self, *, default_ttl_seconds: float | None, limit: int) -> int:
        default = "" if default_ttl_seconds is None else int(default_ttl_seconds * 1000)

        deleted = 0
        place: tuple[str, int] | None = ("", 0)
        while place is not None and deleted < limit:
            size = min(EXPIRED_AT_ONCE, limit - deleted)
            found, following = await self._writes.run("expire_threads", self._now(), default, size, *place)
            replies = await asyncio.gather(*(
                self._writes.run(
                    "delete_thread", self._now(), tenant, thread_id, KEY_SECONDS * 1000, "", *NO_ERASURE, default,
                    topics=_topics_of_deleted,
                )
                for tenant, thread_id in found
            ))  # fmt: skip
            gone = [tenant for (tenant, _), reply in zip(found, replies, strict=True) if isinstance(reply, list)]
            deleted += len(gone)
            if not following:
                place = None
            elif following[0]:  # those of this tenant that are gone were passed, and are no longer counted
                place = (following[0], max(0, int(following[1]) - gone.count(following[0])))
            elif not gone:
                place = None  # others delete the same ones
        return deleted

    @override
    async def abandon_thread(self, tenant: str, thread_id: str) -> None:
        await self._writes.run("abandon_thread", tenant, thread_id)


def _topics_of_deleted(reply: Any) -> Iterable[str]:
    return (MOVED, *map(message_topic, reply)) if isinstance(reply, list) else ()


def _fields(new: NewThread) -> tuple[str | int, ...]:
    """Return the source, the name, the metadata, the subject and the TTL of a new thread, with '' for none."""
    texts = new.source_json or "", new.name or "", merged_metadata(None, new.metadata) or "", new.subject or ""
    return *texts, "" if new.ttl_ms is None else new.ttl_ms


def _found(reply: Any, thread_id: str) -> Any:
    """Return the reply. Raises ThreadNotFound or ThreadRunning if the script refused."""
    if reply is None:
        raise ThreadNotFound(thread_id)
    if reply == "running":
        raise ThreadRunning(thread_id)
    return reply


def _set_of(order: ThreadOrder) -> str:
    return "threads_created" if order.by is ThreadSort.CREATED else "threads"


def _filter_arguments(chosen: ThreadFilter) -> tuple[str, ...]:
    """Return the arguments that `chosen_threads.lua` takes."""
    ids = "" if chosen.ids is None else json.dumps(sorted(chosen.ids))
    return (
        *visible_arguments(chosen.visible), chosen.status or "", ids, wanted_thread_metadata(chosen) or "",
    )  # fmt: skip
