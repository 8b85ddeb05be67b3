"""Runs the duties that every process may run at any time."""

from collections.abc import Iterable, Sequence
from typing import Any

from typing_extensions import override

from ...models.events import NewEvent
from ...models.memory import DroppedMemory
from ...models.messages import Message
from ...policy.versions import SeenVersion, VersionMove
from ..limits import DRAFT_SECONDS, MAX_CRASHES, RELEASED_AT_ONCE
from ..parts import prune, repeat
from ..ports import MOVED, READY, UpkeepStore, message_topic
from ..terminal_states import NOT_ANSWERED, WORKER_LOST, WORKER_LOST_CODE
from ..versions import VERSION_KEPT_MS, VERSIONS_AT_ONCE, KnownVersions, VersionSteps, move_all
from . import replies, templates
from .rooms import RedisRooms, changed_if_any

BATCH = 100
"""Maximum number of messages that one script changes."""

PROMOTE_BATCH = 500


class RedisUpkeep(RedisRooms, UpkeepStore):
    """Implements `UpkeepStore` on Redis."""

    @override
    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        async def rescue_part() -> int:
            reply = await self._writes.run(
                "rescue", self._now(), max_crashes, BATCH, templates.CANCELLED, templates.retry(WORKER_LOST),
                WORKER_LOST, WORKER_LOST_CODE, templates.worker_lost_too_often(), templates.WORKER_LOST_TOO_OFTEN,
                WORKER_LOST_CODE, topics=_topics_of_ids,
            )  # fmt: skip
            return len(reply)

        await self._read_clock()
        return await repeat(rescue_part, BATCH)

    @override
    async def promote(self) -> int:
        def topics(count: int) -> Iterable[str]:
            return (READY, MOVED) if count else ()

        await self._read_clock()
        promoted = await repeat(
            lambda: self._writes.run(
                "promote", self._now(), PROMOTE_BATCH, self._order, *self._priority_ranks(), topics=topics
            ),
            PROMOTE_BATCH,
        )
        left = 1
        while left:
            _, left = await self._writes.run(
                "release_held", self._running, RELEASED_AT_ONCE, topics=lambda reply: topics(reply[0])
            )
        return promoted

    @override
    async def move_versions(self, *, wait_seconds: float) -> int:
        async def known() -> KnownVersions:
            return replies.known_versions(await self._reads.run("list_versions"))

        async def see(seen: Sequence[SeenVersion]) -> None:
            named = [part for each in seen for part in each]
            await self._writes.run("see_versions", self._now() - VERSION_KEPT_MS, *named)

        async def move(move: VersionMove) -> int:
            (event,) = templates.stored([NewEvent.version(move.before, move.after)], self._now())
            reply = await self._writes.run("move_versions", *move, VERSIONS_AT_ONCE, event, topics=_topics_of_ids)
            return len(reply)

        workers = replies.workers(await self._reads.run("list_workers"))
        steps = VersionSteps(known, see, move)
        return await move_all(workers, steps, now=self._now(), wait_seconds=wait_seconds)

    @override
    async def expire_interrupts(self) -> int:
        async def expire_part() -> int:
            reply = await self._writes.run(
                "expire_interrupts", self._now(), BATCH, templates.ended(NOT_ANSWERED), NOT_ANSWERED.error,
                NOT_ANSWERED.code, NOT_ANSWERED.fingerprint, topics=_topics_of_ids,
            )  # fmt: skip
            return len(reply)

        return await repeat(expire_part, BATCH)

    @override
    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        age = int(older_than_seconds * 1000)

        async def prune_part(size: int) -> tuple[int, list[str], bool]:
            count, alone = await self._writes.run("prune_logs", self._now(), age, size)
            return count, [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone], False

        return await prune(prune_part, limit, BATCH)

    @override
    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        age = int(older_than_seconds * 1000)

        async def prune_part(size: int) -> tuple[int, list[str], bool]:
            count, alone, threads = await self._writes.run("prune_messages", self._now(), age, size)
            keys = [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone]
            keys += [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]
            return count, keys, len(threads) == size

        return await prune(prune_part, limit, BATCH)

    @override
    async def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        found = await self._writes.run("list_dropped_memories", limit, self._now(), DRAFT_SECONDS * 1000)
        return [DroppedMemory(*each) for each in found]

    @override
    async def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        await self._writes.run("settle_dropped_memories", *(text for each in memories for text in each))

    @override
    async def prune_keys(self) -> None:
        pass  # the server expires them

    @override
    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        await self._writes.run("prune_workers", self._now(), int(silent_for_seconds * 1000), topics=changed_if_any)

    @override
    async def prune_agents(self, *, older_than_seconds: float) -> None:
        await self._writes.run("prune_agents", self._now(), int(older_than_seconds * 1000), topics=changed_if_any)


def _topics_of_ids(reply: Any) -> Iterable[str]:
    return (READY, MOVED, *map(message_topic, reply)) if reply else ()
