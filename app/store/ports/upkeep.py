"""Duties that every process does on a timer."""

from collections.abc import Sequence
from typing import Protocol

from ...models.memory import DroppedMemory
from ..limits import MAX_CRASHES


class UpkeepStore(Protocol):
    """Runs regular duties. Every process may run them at any time, since their statements check each message again."""

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """Put messages whose leases ran out back into the queue, or fail them. Return how many.

        A message fails after `max_crashes` lost leases. In both cases the attempt is listed as failed. A cancelled
        message ends as cancelled instead. `rescue` and `promote` first check whether the clock was stepped.
        """

    async def promote(self) -> int:
        """Make delayed messages ready when their `run_at` has come. Return how many.

        Also release held messages of tenants that may run more: their limit was raised, or a process died before it
        released them (tests/contract/test_running.py).
        """

    async def move_versions(self, *, wait_seconds: float) -> int:
        """Give ready messages another version if no live worker has their version. Return how many.

        Live workers are those of `list_workers`. A version whose agent failed to load on a worker does not count there.
        A message moves when no live worker had its version for `wait_seconds`. It moves to the newest live version of
        its agent: the version whose first worker started last. If the live workers name no version, the message then
        has none. While no live worker has its agent, it stays. Each move appends the event `version`.

        For a version that is unknown, or that no worker had for VERSION_KEPT_MS, the wait begins with this call.
        """

    async def expire_interrupts(self) -> int:
        """Fail interrupted messages that were not answered in time. Return how many.

        The next message of each thread becomes its head.
        """

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete all but the terminal event of messages that ended more than `older_than_seconds` ago.

        If the record of a tenant has `event_retention_hours`, these count for its messages instead.

        Returns the number of messages, at most `limit`, and the memory keys that are no longer needed.
        """

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete messages that ended more than `older_than_seconds` ago, then threads without messages.

        If the record of a tenant has `retention_days`, these count for its messages and threads instead.

        Returns the number of messages, at most `limit`, and the memory keys that are no longer needed.
        """

    async def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        """Return up to `limit` memories that a deletion dropped and that still exist.

        A deletion lists them in its own transaction. A memory is left out while it is needed again: its thread has
        messages again, or its message was requeued (tests/contract/test_dropped_memories.py). This also drops drafts of
        threads that are older than DRAFT_SECONDS.
        """

    async def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        """Take deleted memories off the list. Memories that are not listed change nothing.

        The ids of deleted threads and abandoned drafts are free again.
        """

    async def prune_keys(self) -> None:
        """Delete request keys that are older than KEY_SECONDS."""

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """Delete workers without a heartbeat for `silent_for_seconds`."""

    async def prune_agents(self, *, older_than_seconds: float) -> None:
        """Delete descriptions of agents that no worker has stored for `older_than_seconds`."""
