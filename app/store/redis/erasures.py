"""Removes what erasures name."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from typing_extensions import override

from ...errors import MessageNotFound, NotCancellable
from ...models.audit import NewAudit
from ...models.erasures import Erasure, ErasureKind, NewErasure
from ...models.messages import MessageFilter, Page
from ...models.threads import ThreadFilter
from ...models.visibility import Visibility
from ..erasures import item_range, naming, target_names, to_erasure
from ..limits import KEY_SECONDS
from ..ports import ACCESS, CHANGED, MOVED, ErasureStore, message_topic
from .control import RedisControl
from .queries import RedisQueries
from .threads import ANY_THREAD, RedisThreads

HOURS_AT_ONCE = 24
"""Number of hours whose usage one script reads."""


class RedisErasures(RedisControl, RedisQueries, RedisThreads, ErasureStore):
    """Implements `ErasureStore` on Redis, in short scripts."""

    @override
    async def begin_erasure(self, new: NewErasure, *, audit: NewAudit | None = None) -> Erasure:
        target = new.target
        row = await self._writes.run(
            "begin_erasure", self._now(), new.id, *(target.tenant, target.kind.value, target.name), new.actor,
            *target_names(target), audit=self._record(audit),
        )  # fmt: skip
        return to_erasure(row)

    @override
    async def get_erasure(self, tenant: str | None, erasure_id: str) -> Erasure | None:
        row = await self._reads.run("get_erasure", tenant or "", erasure_id)
        return None if row is None else to_erasure(row)

    @override
    async def list_erasures(self, tenant: str | None, *, limit: int) -> list[Erasure]:
        return list(map(to_erasure, await self._reads.run("list_erasures", tenant or "", limit)))

    @override
    async def claim_erasure(self, *, lease_seconds: float) -> Erasure | None:
        now = self._now()
        row = await self._writes.run("claim_erasure", now, now + int(lease_seconds * 1000))
        return None if row is None else to_erasure(row)

    @override
    async def release_erasure(self, erasure_id: str) -> None:
        await self._writes.run("release_erasure", erasure_id)

    @override
    async def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        async def cancel(message_id: str) -> None:
            with suppress(MessageNotFound, NotCancellable):
                await self.cancel(erasure.tenant, message_id, running=True)

        await asyncio.gather(*map(cancel, message_ids))
        return len(message_ids)

    @override
    async def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        def topics(deleted: Sequence[str]) -> Iterable[str]:
            return (CHANGED, *map(message_topic, deleted)) if deleted else ()

        deleted = await self._writes.run(
            "erase_messages", self._now(), erasure.tenant, erasure.id, KEY_SECONDS * 1000, _notes_names(erasure),
            *message_ids, topics=topics,
        )  # fmt: skip
        return len(deleted)

    @override
    async def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *map(message_topic, reply)) if isinstance(reply, list) else ()

        replies = await asyncio.gather(*(
            self._writes.run(
                "delete_thread", self._now(), erasure.tenant, thread_id, KEY_SECONDS * 1000, "", erasure.id,
                _notes_names(erasure), ANY_THREAD, topics=topics,
            )
            for thread_id in thread_ids
        ))  # fmt: skip
        return sum(isinstance(reply, list) for reply in replies)

    @override
    async def erase_rows(self, erasure: Erasure, *, limit: int) -> bool:
        everything = int(erasure.kind is ErasureKind.TENANT)
        counts = await self._writes.run(
            "erase_rows", self._now(), erasure.tenant, erasure.id, everything,
            *(item_range(erasure.target) or ("", "")), limit, topics=lambda reply: (ACCESS,) if reply[2] else (),
        )  # fmt: skip
        return any(count >= limit for count in counts)

    @override
    async def erase_names(self, erasure: Erasure, after: str, *, limit: int) -> str | None:
        stage, _, place = after.partition(":")
        named = naming(erasure)
        everything = int(named.everything)
        match stage or "keys":
            case "keys":
                cursor = await self._writes.run(
                    "erase_scanned_keys", erasure.tenant, erasure.id, everything, named.own, place or "0", limit
                )
                return f"keys:{cursor}" if cursor != "0" else "usage:" if named.own else "audit:"
            case "usage":
                last = await self._writes.run(
                    "erase_usage_of_subject", erasure.tenant, erasure.id, erasure.name or "", place, HOURS_AT_ONCE
                )
                return "audit:" if last is None else f"usage:{last}"
        done = await self._writes.run("erase_names", stage, erasure.tenant, erasure.id, everything, named.actor, limit)
        if done == 0:
            return f"{stage}:{int(place or 0) + 1}"  # the number of parts, since the copy knows its place
        if done != 1:
            return after
        return "transitions:" if stage == "audit" else None

    @override
    async def left_to_erase(self, erasure: Erasure) -> bool:
        everything = int(erasure.kind is ErasureKind.TENANT)
        if await self._left(erasure):
            return True
        return bool(await self._reads.run("left_in_memory", erasure.tenant, erasure.id, everything))

    @override
    async def end_erasure(self, erasure: Erasure) -> bool:
        if await self._left(erasure):
            return False
        return bool(await self._writes.run("end_erasure", self._now(), erasure.id))

    async def _left(self, erasure: Erasure) -> bool:
        """Return whether messages or threads of the target are left. Messages of a subject have no set of their own."""
        match erasure.kind:
            case ErasureKind.THREAD:
                chosen = MessageFilter(thread_id=erasure.name), ThreadFilter(ids=frozenset({erasure.name or ""}))
            case ErasureKind.SUBJECT:
                visible = Visibility(subject=erasure.name)
                chosen = MessageFilter(visible=visible), ThreadFilter(visible=visible)
            case ErasureKind.TENANT:
                chosen = MessageFilter(), ThreadFilter()
        messages, threads = chosen
        if await self.list_messages(erasure.tenant, messages, Page(1), positions=False):
            return True
        return bool(await self.list_threads(erasure.tenant, Page(1), threads))


def _notes_names(erasure: Erasure) -> int:
    """Return whether the names of erased objects are noted, as scripts take it: no, if all of the tenant is erased."""
    return int(erasure.kind is not ErasureKind.TENANT)
