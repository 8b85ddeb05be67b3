"""Runs regular duties."""

from collections.abc import Sequence
from typing import NamedTuple

from typing_extensions import override

from ...clock import ClockState, Sample, SteadyClock
from ...models.agents import AgentDescription
from ...models.attempts import Cancelled, Failed
from ...models.events import NewEvent
from ...models.memory import DroppedMemory
from ...models.messages import Message, Priority
from ...policy.versions import SeenVersion, VersionMove
from ..limits import DRAFT_SECONDS
from ..ports import CHANGED, MOVED, READY, message_topic
from ..sql.upkeep import EXPIRED_AT_ONCE, PROMOTED_AT_ONCE, RESCUED_AT_ONCE, UpkeepChanges
from ..terminal_states import NOT_ANSWERED, WORKER_LOST, WORKER_LOST_CODE, ending, worker_lost
from ..versions import VERSION_KEPT_MS
from .changes import Ended, FailedNow, Locked, Logs, PutBack, next_events
from .keys import KEY_MS
from .ranking import Ranking
from .running import release_room
from .session import step
from .usage import fold_usage


class DueRow(NamedTuple):
    """A delayed message whose time has come, from the columns of `lock_due`."""

    run_at: int
    number: int
    tenant: str
    subject: str | None
    priority: str
    base_rank: int
    flow: str | None


class UpkeepWrites(Ranking, UpkeepChanges):
    """Runs regular duties, most for a limited number of rows.

    Every process may run them, since the statements check each message again.
    """

    @override
    def read_clock(self, clock: SteadyClock) -> None:
        while True:
            began = clock.host.elapsed()
            with self.session.transaction(step("read_clock")) as (((read, *columns),),):
                ended = clock.host.elapsed()
                state = ClockState(*columns)
                decided = clock.take(Sample(state, clock.host.reference(read), began, ended))
                if decided is None:
                    self.session.discard()
                    return
                self.session.end_with(step("keep_clock_state", **decided._asdict(), read=state.epoch))
            if decided.epoch == state.epoch:
                return

    @override
    def rescue(self, max_crashes: int) -> int:
        with self.transaction() as (now, _):
            ids = [found for (found,) in self.rows("find_expired", now=now, limit=RESCUED_AT_ONCE)]
            if not ids:
                self.session.discard()
                return 0
            _, expired, found = self.session.run_all(
                step("lock_threads", ids=ids), step("lock_expired", ids=ids, now=now), step("find_logs", ids=ids)
            )
            ended: list[Ended] = []
            back: list[PutBack] = []
            failed: list[FailedNow] = []
            for locked in map(Locked._make, expired):
                self.touched |= {MOVED, message_topic(locked.id)}
                if locked.cancel_requested:
                    ended.append(Ended(locked, ending(Cancelled(), now)))
                    continue
                failed.append(FailedNow(locked.number, Failed(WORKER_LOST, WORKER_LOST_CODE)))
                if locked.crashes + 1 >= max_crashes:
                    ended.append(Ended(locked, ending(worker_lost(locked.crashes + 1), now)))
                else:
                    back.append(PutBack(locked, locked.attempt, WORKER_LOST, now))
            logs = Logs(found)
            steps = self.note_attempts(failed, now) + self.put_back(back, logs, now, crashed=1)
            steps += self.end(ended, now, raise_fence=True, crashed=1)
            if steps:
                self.session.run_all(*steps)
        return len(expired)

    @override
    def see_versions(self, seen: Sequence[SeenVersion]) -> None:
        agents, versions, first, last = (list(column) for column in zip(*sorted(seen), strict=True))
        with self.transaction() as (now, _):
            self.session.run_all(
                step("see_versions", agents=agents, versions=versions, first=first, last=last),
                step("forget_versions", before=now - VERSION_KEPT_MS),
            )

    @override
    def move_version(self, move: VersionMove, limit: int) -> int:
        with self.transaction(step("move_version", **move._asdict(), limit=limit)) as (now, [moved]):
            if not moved:
                self.session.discard()
                return 0
            event = NewEvent.version(move.before, move.after)
            self.touched |= {READY, MOVED, *(message_topic(message_id) for _, message_id in moved)}
            self.session.end_with(next_events({number: event for number, _ in moved}, now))
        return len(moved)

    @override
    def expire_interrupts(self) -> int:
        with self.transaction() as (now, _):
            ids = [found for (found,) in self.rows("find_unanswered", now=now, limit=EXPIRED_AT_ONCE)]
            if not ids:
                self.session.discard()
                return 0
            _, expired = self.session.run_all(step("lock_threads", ids=ids), step("lock_unanswered", ids=ids, now=now))
            ended = [Ended(locked, ending(NOT_ANSWERED, now)) for locked in map(Locked._make, expired)]
            steps = self.end(ended, now, raise_fence=True)
            if steps:
                self.session.run_all(*steps)
        return len(expired)

    @override
    def prune_keys(self) -> None:
        with self.transaction() as (now, _):
            self.session.run_all(
                step("prune_keys", before=now - KEY_MS), step("prune_deleted_messages", before=now - KEY_MS)
            )

    @override
    def promote(self) -> int:
        with self.transaction() as (now, _):
            ids = [found for (found,) in self.rows("find_due", now=now, limit=PROMOTED_AT_ONCE)]
            if not ids:
                self.session.discard()
                return 0
            _, due = self.session.run_all(step("lock_threads", ids=ids), step("lock_due", ids=ids, now=now))
            self._promote([DueRow._make(row) for row in sorted(due)], now)
            self.touched |= {READY, MOVED}
        return len(due)

    @override
    def release_held(self) -> bool:
        with self.session.statement():
            holding = [tenant for (tenant,) in self.rows("list_holding_tenants")]
            return bool(holding) and release_room(self.session, holding)

    def _promote(self, due: Sequence[DueRow], now: int) -> None:
        """Make locked messages ready. Those that were never ready before take their turns, in the order given."""
        flows = {
            each.number: self.ranks.flow(each.tenant, each.subject, Priority(each.priority).level)
            for each in due
            if each.flow is None
        }
        turns = self.turns(flows.values() if self.ranks.shares else (), now)
        ranks = {number: turns.take(flow) for number, flow in flows.items() if self.ranks.shares}
        self.rows(
            "promote_due",
            numbers=[each.number for each in due],
            base_ranks=[ranks.get(each.number, each.base_rank) for each in due],
            flows=[flows[each.number].name if each.flow is None else each.flow for each in due],
        )

    @override
    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        with self.transaction() as (now, _):
            found = self.rows("find_prunable_logs", now=now, age=older_than_ms, limit=limit)
            if not found:
                self.session.discard()
                return 0, [], False
            numbers = [number for number, *_ in found]
            self.session.run_all(step("prune_logs", numbers=numbers), step("mark_pruned", numbers=numbers))
        alone = [(tenant, message_id) for _, message_id, tenant, thread_id in found if thread_id is None]
        return len(found), [Message.memory_key_of(tenant, None, message_id) for tenant, message_id in alone], False

    @override
    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        with self.transaction() as (now, _):
            kept = {"now": now, "age": older_than_ms, "limit": limit}
            ids = [found for (found,) in self.rows("find_prunable_messages", **kept)]
            _, deleted, threads = self.session.run_all(
                step("lock_threads", ids=ids),
                step("prune_messages", ids=ids),
                step("prune_threads", **kept),
            )
            if not deleted and not threads:
                self.session.discard()
        keys = [
            Message.memory_key_of(tenant, None, message_id)
            for message_id, tenant, thread_id, log_pruned in deleted
            if thread_id is None and not log_pruned
        ]
        keys += [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]
        return len(deleted), keys, len(threads) == limit

    @override
    def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        with self.transaction() as (now, _):
            self.rows("abandon_old_drafts", before=now - DRAFT_SECONDS * 1000)
            return [DroppedMemory(*row) for row in self.rows("list_dropped_memories", limit=limit)]

    @override
    def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        tenants, threads, ids = (list(column) for column in zip(*memories, strict=True))
        with self.transaction():
            self.rows("free_threads", tenants=tenants, threads=threads)
            self.rows("settle_dropped_memories", tenants=tenants, threads=threads, ids=ids)

    @override
    def delete_dropped_events(self, limit: int) -> bool:
        with self.transaction():
            deleted = int(self.value("delete_dropped_events", limit=limit))
            if deleted < limit:
                self.rows("forget_dropped_logs")
        return deleted >= limit

    @override
    def prune_workers(self, silent_for_ms: int) -> None:
        with self.transaction() as (now, _):
            if self.rows("prune_workers", before=now - silent_for_ms, now=now):
                self.touched.add(CHANGED)
            if self.value("lock_folding"):  # add up the totals of closed connections
                self.session.run_all(step("fold_tallies"), step("fold_levels"), fold_usage(now), step("fold_commits"))

    @override
    def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        ordered = sorted(descriptions, key=lambda each: each.name.encode())
        with self.transaction() as (now, _):
            self.rows(
                "describe_agents",
                now=now,
                names=[each.name for each in ordered],
                descriptions=[each.model_dump_json() for each in ordered],
            )
            self.touched.add(CHANGED)

    @override
    def prune_agents(self, age_ms: int) -> None:
        with self.transaction() as (now, _):
            if self.rows("prune_agents", before=now - age_ms, now=now):
                self.touched.add(CHANGED)
