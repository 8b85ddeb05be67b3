"""Counts new messages against limits, those of many callers in one transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence

from ...errors import AgentQueueError
from ...models.limits import Counted, Limits
from ..sql.limit_rows import LimitRows
from .changes import Writes
from .session import Rows, Step, step


class Tally:
    """The locked rows of limits, as callers count against them."""

    def __init__(self, values: Mapping[str, int], now: int) -> None:
        self._values = values
        self._now = now
        self._rows = LimitRows()

    def count(self, limits: Limits) -> Counted | AgentQueueError | None:
        """Count a request, and return what it has counted. Return the error instead if a limit refuses it."""
        try:
            counted = self._rows.count(limits, self._now, lambda _: self._values)
        except AgentQueueError as error:
            return error
        self._rows.keep(counted)
        return counted

    def changed(self) -> Step | None:
        """Return the step that stores the changed rows, None if there are none."""
        rows = list(self._rows.changed())
        if not rows:
            return None
        return step("keep_limits", rows=json.dumps(rows))


def lock_limits(given: Iterable[Limits]) -> tuple[list[str], list[Step]]:
    """Return the sorted names of limits, and the step that locks their rows; none without limits."""
    names = sorted({limit.name for limits in set(given) for limit in limits})
    return names, [step("lock_limits", names=json.dumps(names))] if names else []


class Limiting(Writes):
    """The base class of writers that count against limits."""

    def tally(self, names: Sequence[str], locked: Rows, now: int) -> Tally:
        """Return the values of the rows of limits. Makes and locks rows that are missing.

        `locked` has the rows that the step `lock_limits` returned for these names. They are sorted, so that two
        processes do not wait for each other.
        """
        found: dict[str, int] = dict(locked)
        while len(found) < len(names):  # another process may delete a row before it is locked
            self.rows("add_limits", names=json.dumps([name for name in names if name not in found]))
            found = dict(self.rows("lock_limits", names=json.dumps(names)))
        return Tally(found, now)

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""
        with self.transaction() as (now, _):
            self.rows("prune_limits", now=now)
