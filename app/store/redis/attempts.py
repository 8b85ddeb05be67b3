"""Claims messages and ends attempts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Cancelled, Claim, Completed, Failed, Interrupted, Lease, Outcome, Released, Retry
from ...models.messages import MessageState
from ..limits import THROUGHPUT_MESSAGES
from ..ports import MOVED, READY, AttemptStore, message_topic
from ..ports.attempts import NO_VERSIONS
from ..rows import MESSAGE_COLUMNS, stored_details
from ..versions import claimed_lists
from . import replies, templates
from .rooms import RedisRooms

ID = MESSAGE_COLUMNS.index("id")


class RedisAttempts(RedisRooms, AttemptStore):
    """Implements `AttemptStore` on Redis."""

    @override
    async def claim(
        self,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        *,
        lease_seconds: float,
        versions: Mapping[str, str] = NO_VERSIONS,
    ) -> list[Claim]:
        def topics(reply: Any) -> Iterable[str]:
            rows, held = reply
            moved = (MOVED, *(message_topic(columns[ID]) for columns in rows)) if rows or held else ()
            return (*moved, READY) if held > 1 else moved

        rows, _ = await self._writes.run(
            "claim", self._now(), worker_id, limit, int(lease_seconds * 1000), templates.PROCESSING, self._running,
            *(part for each in claimed_lists(agents, versions) for part in each), topics=topics,
        )  # fmt: skip
        messages = list(map(replies.message, rows))
        for each in messages:
            if each.started_at is not None:  # so that no later change is dated before the claim
                self._clock.witness(round(each.started_at.timestamp() * 1000))
        return [Claim(Lease(each.id, each.fence, each.attempt, worker_id), each) for each in messages]

    @override
    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        def topics(reply: Any) -> Iterable[str]:
            return (READY, MOVED, message_topic(lease.message_id)) if reply else ()

        held = (self._now(), lease.message_id, lease.fence, templates.CANCELLED)
        script, *arguments = _script_of(outcome)
        if await self._writes.run(str(script), *held, *arguments, topics=topics) is None:
            raise LeaseLost(lease.message_id, lease.fence)


def _script_of(outcome: Outcome) -> tuple[str | int, ...]:
    """Return the script that ends an attempt with this outcome, and its arguments after the common ones."""
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
