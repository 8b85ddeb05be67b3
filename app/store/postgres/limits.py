"""Counts new messages against limits, those of many callers in one transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence

from ...errors import AgentQueueError
from ...models.limits import Counted, Limits
from ..sql.limit_rows import LimitRows
from .changes import Writes
from .session import Step, step


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


def names_of(given: Iterable[Limits]) -> list[str]:
    """Return the names of all limits, sorted."""
    return sorted({limit.name for limits in set(given) for limit in limits})


class Limiting(Writes):
    """The base class of writers that count against limits."""

    def add_limits(self, names: Sequence[str]) -> None:
        """Make the rows of limits that are missing.

        This takes a transaction of its own. One that has locked some of the rows must give them up first, since two
        processes would wait for each other if they locked rows in another order than that of the names.
        """
        with self.transaction():
            self.rows("add_limits", names=json.dumps(names))

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""
        with self.transaction() as (now, _):
            self.rows("prune_limits", now=now)
