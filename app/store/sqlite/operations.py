"""All operations that change something, over one connection; upkeep is here."""

import json

from ...clock import ClockState, Sample, SteadyClock
from ...models.messages import Message
from ..parts import EVENTS_AT_ONCE
from .operating import Operating
from .running import Running

PRUNE_BATCH = 50
"""So many messages are pruned in one transaction: a log may have thousands of events."""


class Writes(Operating, Running):
    """Every operation of the store that writes. See `app.store.ports`."""

    def prune_logs(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        """See `UpkeepStore.prune_logs`; nothing else is left."""
        keys = []
        found = self.rows("find_prunable_logs", before=self._now() - older_than_ms, limit=limit)
        for number, message_id, tenant, thread_id in found:
            self.execute("prune_log", message=number)
            self.execute("mark_pruned", number=number)
            if thread_id is None:
                keys.append(Message.memory_key_of(tenant, None, message_id))
        return len(found), keys, False

    def prune_messages(self, older_than_ms: int, limit: int) -> tuple[int, list[str], bool]:
        """See `UpkeepStore.prune_messages`; and whether threads may be left, of which `limit` are deleted too."""
        before = self._now() - older_than_ms
        deleted = self.rows("prune_messages", before=before, limit=limit)
        keys = [
            Message.memory_key_of(tenant, None, message_id)
            for message_id, tenant, thread_id, log_pruned in deleted
            if thread_id is None and not log_pruned
        ]
        threads = self.rows("prune_threads", before=before, limit=limit)
        keys += [Message.memory_key_of(tenant, thread_id, "") for tenant, thread_id in threads]
        return len(deleted), keys, len(threads) == limit

    def delete_dropped_events(self) -> int:
        """Delete up to EVENTS_AT_ONCE events of logs that were dropped. Return how many."""
        self.execute("delete_dropped_events", limit=EVENTS_AT_ONCE)
        deleted = self._connection().changes()
        if deleted < EVENTS_AT_ONCE:
            self.execute("forget_dropped_logs")
        return deleted

    def read_clock(self, clock: SteadyClock) -> None:
        """Let the clock learn from this host's wall clock, and keep what it decides."""
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

    def leave_hints(self, process: str) -> None:
        """Tell other processes what this transaction touched; the ring keeps some thousand entries."""
        self.execute("add_hint", process=process, topics=json.dumps(sorted(self.touched)))
        number = self._connection().last_insert_rowid()
        if number % 1_000 == 0:
            self.execute("prune_hints", before=number - 5_000)
