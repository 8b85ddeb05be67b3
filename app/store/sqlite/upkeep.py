"""Runs regular duties."""

from collections.abc import Sequence

from typing_extensions import override

from ...clock import ClockState, Sample, SteadyClock
from ...models.agents import AgentDescription
from ...models.attempts import Cancelled, Failed
from ...models.events import NewEvent
from ...models.memory import DroppedMemory
from ...models.messages import Priority
from ...policy.versions import SeenVersion, VersionMove
from ..limits import DRAFT_SECONDS, KEY_SECONDS
from ..parts import within_part
from ..ports import CHANGED, MOVED, READY, message_topic
from ..sql.upkeep import EXPIRED_AT_ONCE, PROMOTED_AT_ONCE, RESCUED_AT_ONCE, UpkeepChanges
from ..terminal_states import NOT_ANSWERED, WORKER_LOST, WORKER_LOST_CODE, worker_lost
from ..versions import VERSION_KEPT_MS
from .running import Releasing

EVENTS_AT_ONCE = 100
"""Number of events that a statement deletes."""


class UpkeepWrites(Releasing, UpkeepChanges):
    """Runs regular duties in a transaction. Most change a limited number of rows."""

    @override
    def rescue(self, max_crashes: int) -> int:
        now = self._now()
        expired = self.rows("find_expired", now=now, limit=RESCUED_AT_ONCE)
        for number, message_id, attempt, crashes, cancel_requested in expired:
            self.touched |= {MOVED, message_topic(message_id)}
            if cancel_requested:
                self._end(number, Cancelled(), now, fence_step=1, crashed=1)
                continue
            self._note_attempt(number, Failed(WORKER_LOST, WORKER_LOST_CODE), now)
            if crashes + 1 >= max_crashes:
                self._end(number, worker_lost(crashes + 1), now, fence_step=1, crashed=1)
            else:
                self._put_back(number, now, now, attempt=attempt, error=WORKER_LOST, crashed=1)
        return len(expired)

    @override
    def promote(self) -> int:
        now = self._now()
        turns = self._turns(now)
        due = self.rows("find_due", now=now, limit=PROMOTED_AT_ONCE)
        for number, tenant, subject, priority, *place in due:
            base_rank, flow_name = place
            if flow_name is None:
                flow = self._ranks.flow(tenant, subject, Priority(priority).level)
                base_rank, flow_name = turns.take(flow) if self._ranks.shares else base_rank, flow.name
            self.execute("promote_due", number=number, base_rank=base_rank, flow=flow_name)
        if due:
            self.touched |= {READY, MOVED}
        return len(due)

    @override
    def see_versions(self, seen: Sequence[SeenVersion]) -> None:
        self.execute_each("see_version", [each._asdict() for each in seen])
        self.execute("forget_versions", before=self._now() - VERSION_KEPT_MS)

    @override
    def move_version(self, move: VersionMove, limit: int) -> int:
        moved = self.rows("move_version", **move._asdict(), limit=limit)
        event = NewEvent.version(move.before, move.after)
        self._add_events([(number, last + 1, event) for number, _, last in moved], self._now())
        if moved:
            self.touched |= {READY, MOVED, *(message_topic(message_id) for _, message_id, _ in moved)}
        return len(moved)

    @override
    def expire_interrupts(self) -> int:
        now = self._now()
        expired = self.rows("find_expired_interrupts", now=now, limit=EXPIRED_AT_ONCE)
        for (number,) in expired:
            self._end(number, NOT_ANSWERED, now, fence_step=1)
        return len(expired)

    @override
    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        dropped = []
        found = self.rows("find_prunable_logs", now=self._now(), age=older_than_ms, limit=limit)
        for number, message_id, tenant, thread_id in found:
            self.execute("prune_log", message=number)
            self.execute("mark_pruned", number=number)
            if thread_id is None:
                dropped.append(DroppedMemory(tenant, "", message_id))
        return len(found), self._drop_memories(dropped), False

    @override
    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        now = self._now()
        deleted = self.rows("prune_messages", now=now, age=older_than_ms, limit=limit)
        dropped = [
            DroppedMemory(tenant, "", message_id)
            for message_id, tenant, thread_id, log_pruned in deleted
            if thread_id is None and not log_pruned
        ]
        threads = self.rows("prune_threads", now=now, age=older_than_ms, limit=limit)
        dropped += [DroppedMemory(tenant, thread_id, "") for tenant, thread_id in threads]
        return len(deleted), self._drop_memories(dropped), len(threads) == limit

    @override
    def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        old = self.rows("abandon_old_drafts", before=self._now() - DRAFT_SECONDS * 1000)
        self._drop_memories([DroppedMemory(tenant, thread_id, "") for tenant, thread_id in old])
        return [DroppedMemory(*row) for row in self.rows("list_dropped_memories", limit=limit)]

    @override
    def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        self.execute_each("settle_dropped_memory", [each._asdict() for each in memories])
        threads = [{"tenant": each.tenant, "thread_id": each.thread_id} for each in memories if each.thread_id]
        self.execute_each("free_thread", threads)

    @override
    def prune_keys(self) -> None:
        before = self._now() - KEY_SECONDS * 1000
        self.execute("prune_keys", before=before)
        self.execute("prune_deleted_messages", before=before)

    @override
    def prune_workers(self, silent_for_ms: int) -> None:
        now = self._now()
        self.execute("record_lost_workers", before=now - silent_for_ms, now=now)
        if self.rows("prune_workers", before=now - silent_for_ms):
            self.touched.add(CHANGED)

    @override
    def delete_dropped_events(self, limit: int) -> bool:
        for part in within_part(range(limit), EVENTS_AT_ONCE):
            self.execute("delete_dropped_events", limit=len(part))
            if self._connection().changes() < len(part):
                self.execute("forget_dropped_logs")
                return False
        return True

    @override
    def read_clock(self, clock: SteadyClock) -> None:
        state = ClockState(*self.rows("clock_state")[0])
        while True:
            began = clock.host.elapsed()
            reference = clock.host.reference(None)
            decided = clock.take(Sample(state, reference, began, clock.host.elapsed()))
            if decided is None:
                return
            self.execute("keep_clock_state", **decided._asdict())
            if decided.epoch == state.epoch:
                return
            state = decided

    @override
    def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        now = self._now()
        self.execute_each(
            "describe_agent",
            [{"name": each.name, "description": each.model_dump_json(), "now": now} for each in descriptions],
        )
        self.touched.add(CHANGED)

    @override
    def prune_agents(self, age_ms: int) -> None:
        now = self._now()
        self.execute("record_removed_agents", before=now - age_ms, now=now)
        if self.rows("prune_agents", before=now - age_ms):
            self.touched.add(CHANGED)
