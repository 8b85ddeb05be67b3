"""Adds recorded changes of state to the figures."""

from typing_extensions import override

from ...policy.statistics import stored_figures
from ..limits import RECORDS_KEPT
from ..sql.statistics import FigureChanges
from .changes import Writes
from .session import Rows, step


class FigureWrites(Writes, FigureChanges):
    """Implements `FigureChanges`. Each method runs in a transaction of its own."""

    @override
    def fold_figures(self, limit: int) -> int:
        with self.transaction(step("lock_figures")) as (_, [head]):
            if not head:  # another process is adding
                self.session.discard()
                return 0
            transaction, number = head[0]
            found = self.rows("last_unfolded", transaction=transaction, number=number, limit=limit)
            if found:
                last_transaction, last_number, count = found[0]
                self._add(self.rows(
                    "count_unfolded", transaction=transaction, number=number,
                    last_transaction=last_transaction, last_number=last_number,
                ))  # fmt: skip
                self.rows("move_figures_head", transaction=last_transaction, number=last_number)
                return int(count)
            self.session.discard()
        return 0

    def _add(self, counted: Rows) -> None:
        added = stored_figures(counted)
        keys = [key for _, key, _ in added]
        self.rows(
            "add_figures",
            steps=[length for length, _, _ in added],
            tenants=[key.tenant for key in keys],
            metrics=[key.metric for key in keys],
            starts=[key.start for key in keys],
            agents=[key.agent for key in keys],
            priorities=[key.priority for key in keys],
            labels=[key.label for key in keys],
            values=[value for _, _, value in added],
        )

    def adopt_records(self) -> None:
        """Let records from a dump of another server be older than all transactions of this server."""
        with self.transaction(step("any_of_other_server")) as (_, [[(suspected,)]]):
            # Another process may adopt them just now.
            if not suspected or (self.rows("await_figures") and not self.value("any_of_other_server")):
                self.session.discard()
                return
            self.session.run_all(
                step("drop_folded"),
                step("restart_transitions"),
                step("rename_transition_log"),
                step("move_figures_head", transaction=0, number=0),
            )

    @override
    def prune_records(self, age_ms: int, limit: int) -> int:
        with self.transaction() as (now, _):
            return int(self.value("prune_transitions", before=now - age_ms, kept=RECORDS_KEPT, limit=limit))

    @override
    def prune_figures(self, step: int, age_ms: int) -> None:
        with self.transaction() as (now, _):
            self.rows("prune_figures", step=step, before=now - age_ms)
