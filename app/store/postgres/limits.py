"""Counts new messages against limits, those of many callers in one transaction."""

from collections.abc import Iterable, Mapping, Sequence

from ...errors import AgentQueueError
from ...models.limits import Limit
from ...policy.limits import count_all, expiry_of
from .changes import Writes
from .session import Rows, Step, step


class Tally:
    """The locked rows of limits, as callers count against them."""

    def __init__(self, values: Mapping[str, int], now: int) -> None:
        self._values = dict(values)
        self._now = now
        self._counted: dict[str, Limit] = {}

    def count(self, limits: Sequence[Limit]) -> Mapping[str, int] | AgentQueueError:
        """Count a request, and return the new values by name. Return the error instead if a limit refuses it."""
        try:
            counted = count_all(limits, self._values, self._now)
        except AgentQueueError as error:
            return error
        self._values.update(counted)
        for limit in limits:
            self._counted[limit.name] = limit
        return counted

    def changed(self) -> Mapping[str, Sequence[object]] | None:
        """Return the changed rows as the parameters of the query `keep_limits`, None if there are none."""
        if not self._counted:
            return None
        names = sorted(self._counted)
        values = [self._values[name] for name in names]
        expiries = [expiry_of(self._counted[name], value) for name, value in zip(names, values, strict=True)]
        return {"names": names, "values": values, "expiries": expiries}


def lock_limits(limits: Iterable[Limit]) -> tuple[list[str], list[Step]]:
    """Return the sorted names of limits, and the step that locks their rows; none without limits."""
    names = sorted({limit.name for limit in limits})
    return names, [step("lock_limits", names=names)] if names else []


class Limiting(Writes):
    """The base class of writers that count against limits."""

    def tally(self, names: Sequence[str], locked: Rows, now: int) -> Tally:
        """Return the values of the rows of limits. Makes and locks rows that are missing.

        `locked` has the rows that the step `lock_limits` returned for these names. They are sorted, so that two
        processes do not wait for each other.
        """
        found: dict[str, int] = dict(locked)
        while len(found) < len(names):  # another process may delete a row before it is locked
            self.rows("add_limits", names=[name for name in names if name not in found])
            found = dict(self.rows("lock_limits", names=names))
        return Tally(found, now)

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""
        with self.transaction() as (now, _):
            self.rows("prune_limits", now=now)
