"""Attempts at messages: claiming, logging, ending, taking back what was lost; and upkeep."""

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import LeaseLost
from ...models.attempts import Cancelled, Claim, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from ...models.events import NewEvent
from ...models.messages import Message, MessageState
from ..parts import prune, repeat
from ..ports import MAX_CRASHES, MOVED, READY, THROUGHPUT_MESSAGES, message_topic
from ..rows import stored_details
from ..terminal_states import NOT_ANSWERED, WORKER_LOST, WORKER_LOST_CODE
from . import replies, templates
from .calls import Calls

BATCH = 100
"""So many messages are taken back or failed by one script."""

PROMOTE_BATCH = 500


class Running(Calls):
    """See `app.store.ports` and `EventLog`."""

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """See `AttemptStore.claim`."""

        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *(message_topic(columns[1]) for columns in reply)) if reply else ()

        reply = await self._writes.run(
            "claim", self._now(), worker_id, limit, int(lease_seconds * 1000), templates.PROCESSING,
            *sorted(set(agents)), topics=topics,
        )  # fmt: skip
        messages = list(map(replies.message, reply))
        for each in messages:
            if each.started_at is not None:  # what follows is not dated before the claim
                self._clock.witness(round(each.started_at.timestamp() * 1000))
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`."""

        def topics(reply: Any) -> Iterable[str]:
            return (message_topic(lease.message_id),) if reply else ()

        last: int | None = await self._writes.run(
            "append", lease.message_id, lease.fence, *map(templates.stored, events), topics=topics
        )
        if last is None:
            raise LeaseLost(lease.message_id, lease.fence)
        return last

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `AttemptStore.finish`."""

        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, message_topic(lease.message_id)) if reply else ()

        held = (self._now(), lease.message_id, lease.fence, templates.CANCELLED)
        script, *arguments = _script_of(outcome)
        if await self._writes.run(str(script), *held, *arguments, topics=topics) is None:
            raise LeaseLost(lease.message_id, lease.fence)

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """See `UpkeepStore.rescue`."""

        async def rescue_part() -> int:
            reply = await self._writes.run(
                "rescue", self._now(), max_crashes, BATCH, templates.CANCELLED, templates.retry(WORKER_LOST),
                WORKER_LOST, WORKER_LOST_CODE, templates.worker_lost_too_often(), templates.WORKER_LOST_TOO_OFTEN,
                WORKER_LOST_CODE, topics=_topics_of_ids,
            )  # fmt: skip
            return len(reply)

        await self._read_clock()
        return await repeat(rescue_part, BATCH)

    async def promote(self) -> int:
        """See `UpkeepStore.promote`."""

        def topics(count: int) -> Iterable[str]:
            return (READY, MOVED) if count else ()

        await self._read_clock()
        return await repeat(
            lambda: self._writes.run("promote", self._now(), PROMOTE_BATCH, topics=topics), PROMOTE_BATCH
        )

    async def expire_interrupts(self) -> int:
        """See `UpkeepStore.expire_interrupts`."""

        async def expire_part() -> int:
            reply = await self._writes.run(
                "expire_interrupts", self._now(), BATCH, templates.ended(NOT_ANSWERED), NOT_ANSWERED.error,
                NOT_ANSWERED.code, NOT_ANSWERED.fingerprint, topics=_topics_of_ids,
            )  # fmt: skip
            return len(reply)

        return await repeat(expire_part, BATCH)

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_logs`."""
        age = int(older_than_seconds * 1000)

        async def prune_part(size: int) -> tuple[int, list[str], bool]:
            count, alone = await self._writes.run("prune_logs", self._now(), age, size)
            return count, [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone], False

        return await prune(prune_part, limit, BATCH)

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_messages`."""
        age = int(older_than_seconds * 1000)

        async def prune_part(size: int) -> tuple[int, list[str], bool]:
            count, alone, threads = await self._writes.run("prune_messages", self._now(), age, size)
            keys = [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone]
            keys += [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]
            return count, keys, len(threads) == size

        return await prune(prune_part, limit, BATCH)


def _script_of(outcome: Outcome) -> tuple[str | int, ...]:
    """The script that ends an attempt so, with what only this outcome tells."""
    match outcome:
        case Completed(result, output):
            done = templates.ended(outcome)
            return "finish", MessageState.COMPLETED.value, done, result, THROUGHPUT_MESSAGES, output or ""
        case Failed(error, code, fingerprint, details):
            ended = templates.ended(outcome)
            noted = stored_details(details) or ""
            return "finish", MessageState.FAILED.value, ended, error, code, fingerprint or code, noted
        case Cancelled():
            return "finish", MessageState.CANCELLED.value
        case Retry(error, code, delay, details):
            noted = stored_details(details) or ""
            return "put_back", int(delay * 1000), templates.retry(error), error, code, noted
        case Released(reason, delay):
            return "put_back", int(delay * 1000), templates.retry(reason)
        case Interrupted(interrupts, ttl_seconds):
            return "interrupt", int(ttl_seconds * 1000), templates.interrupted(interrupts), interrupts


def _topics_of_ids(reply: Any) -> Iterable[str]:
    return (READY, MOVED, *map(message_topic, reply)) if reply else ()
