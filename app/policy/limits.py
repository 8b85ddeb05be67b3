"""Counts requests against limits. The script `lua/shared/limits.lua` does the same.

A limit without a period is counted by the generic cell rate algorithm (GCRA). Its row has the theoretical arrival time:
the time at which the whole limit is left again, in microseconds. Each message moves it by the interval at which
messages may come evenly. A request passes if that time is then at most a window away. The row of a limit with a period
has the number of messages in the period.
"""

from collections.abc import Mapping, Sequence

from ..clock import to_datetime
from ..errors import AgentQueueError, InvalidRequest
from ..errors.limits import QuotaExceeded, RateLimitExceeded
from ..models.limits import MICROSECONDS, Limit, Limits
from ..text import amount_of


def count_all(limits: Limits, values: Sequence[int], now: int) -> list[int]:
    """Return the values of all limits' rows after a request.

    `values` are the present ones in the order of the limits, 0 without a row. `now` is in milliseconds. Raises an
    error, and counts nothing, if one of the limits refuses the request.
    """
    new: list[int] = []
    present = now * 1000
    for value, (interval, step, span, _) in zip(values, limits.terms, strict=True):
        before = present if interval else 0
        after = (value if value > before else before) + step
        if after - before > span:
            raise refusal(limits.each[len(new)], value, now)
        new.append(after)
    return new


def rests_of(limits: Limits, values: Sequence[int], now: int) -> list[int]:
    """Return what is left of limits as `Counted.rests`. Seconds are rounded up.

    `values` are those of the limits' rows, `now` is in milliseconds.
    """
    rests: list[int] = []
    present = now * 1000
    for value, (interval, _, span, resets_at) in zip(values, limits.terms, strict=True):
        if interval:
            ahead = value - present if value > present else 0
            left = (span - ahead) // interval
        else:
            left, ahead = span - value, resets_at * 1000 - present
        rests.append(left if left > 0 else 0)
        rests.append(-(-ahead // MICROSECONDS) if ahead > 0 else 0)
    return rests


def expiry_of(limit: Limit, value: int) -> int:
    """Return when the row of a limit is out of use, in milliseconds."""
    return limit.resets_at if limit.period is not None else value // 1000 + 1


def refusal(limit: Limit, value: int, now: int) -> AgentQueueError:
    """Return the error of a request that a limit refuses. `value` is that of its row."""
    if limit.amount > limit.most:
        return InvalidRequest(
            f"messages: expected at most {amount_of(limit.most, 'messages')}, which is a limit of this {limit.limited}"
            ". Nothing was stored",
            field="messages",
        )
    left, reset = rests_of(Limits(limit), [value], now)
    if limit.period is not None:
        return QuotaExceeded(
            limit.limited, unit="messages", period=limit.period, policy=limit.policy, most=limit.most,
            window_seconds=limit.window_seconds, left=left, amount=limit.amount,
            resets_at=to_datetime(limit.resets_at), wait=reset,
        )  # fmt: skip
    wait = max(value - now * 1000, 0) + (limit.amount - limit.most) * limit.interval
    return RateLimitExceeded(
        limit.limited, what=limit.what, policy=limit.policy, most=limit.most, window_seconds=limit.window_seconds,
        left=left, reset_seconds=reset, wait=wait / MICROSECONDS,
    )  # fmt: skip


def would_pass(limits: Limits, values: Mapping[str, int], now: int) -> bool:
    """Return whether all limits let a request pass. `values` has the present values of rows by name."""
    try:
        count_all(limits, [values.get(limit.name, 0) for limit in limits], now)
    except AgentQueueError:
        return False
    return True
