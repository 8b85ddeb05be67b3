"""Adds recorded changes of state to the figures."""

from typing_extensions import override

from ...policy.statistics import stored_figures
from ..limits import RECORDS_KEPT
from ..sql.statistics import FigureChanges
from .changes import Changes


class FigureWrites(Changes, FigureChanges):
    """Implements `FigureChanges`, inside a transaction."""

    @override
    def fold_figures(self, limit: int) -> int:
        ((last, count),) = self.rows("last_unfolded", limit=limit)
        if count:
            added = stored_figures(self.rows("count_unfolded", last=last))
            self.execute_each(
                "add_figure", [{**key._asdict(), "step": step, "value": value} for step, key, value in added]
            )
            self.execute("move_figures_head", number=last)
        return int(count)

    @override
    def prune_records(self, age_ms: int, limit: int) -> int:
        return len(self.rows("prune_transitions", before=self._now() - age_ms, kept=RECORDS_KEPT, limit=limit))

    @override
    def prune_figures(self, step: int, age_ms: int) -> None:
        self.execute("prune_figures", step=step, before=self._now() - age_ms)
