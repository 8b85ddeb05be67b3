"""Limits the reads of each caller in a process, by the same algorithm as submits, with rows in memory."""

from collections import OrderedDict

from ..clock import to_milliseconds
from ..models.limits import Counted, Limit, Limited, Limits
from ..policy.limits import count_all, rests_of
from .hosts import is_loopback, prefix_of
from .limits import MINUTE, TimedTenantStore
from .principals import Principal

MAX_CALLERS = 10_000
"""Maximum number of callers that are remembered. The one that came longest ago is dropped."""


class ReadLimits:
    """Counts reads by API key, end user or address. Programs of the server's own host without a key are not limited."""

    def __init__(self, store: TimedTenantStore, per_minute: int) -> None:
        self._store = store
        self._limits: dict[Limited, Limits] = {
            each: Limits(Limit("", f"{each.name.lower()}-reads", each, per_minute, MINUTE, what="requests"))
            for each in Limited
            if per_minute
        }
        self._rows: OrderedDict[tuple[Limited, str, str], int] = OrderedDict()

    def count(self, caller: Principal, address: str | None) -> Counted | None:
        """Count a read. Return what it has counted, None for callers without a limit. Raises RateLimitExceeded."""
        name = _name_of(caller, address)
        if name is None or not self._limits:
            return None
        limits, now = self._limits[name[0]], to_milliseconds(self._store.now())
        values = count_all(limits, [self._rows.get(name, 0)], now)
        (self._rows[name],) = values
        self._rows.move_to_end(name)
        if len(self._rows) > MAX_CALLERS:
            self._rows.popitem(last=False)
        return Counted(limits, rests_of(limits, values, now))


def _name_of(caller: Principal, address: str | None) -> tuple[Limited, str, str] | None:
    if caller.subject is not None:
        return Limited.SUBJECT, caller.tenant, caller.subject
    if caller.key_id is not None:
        return Limited.KEY, "", caller.key_id
    if address is None or is_loopback(address):
        return None
    return Limited.ADDRESS, "", prefix_of(address)
