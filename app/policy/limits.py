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


def counted(limit: Limit, value: int, now: int) -> int | None:
    """Return the value of the limit's row after a request, None if the limit refuses the request.

    `value` is the present value, 0 without a row. `now` is in milliseconds.
    """
    if limit.period is not None:
        new = value + limit.amount
        return new if new <= limit.most else None
    interval, present = limit.interval, now * 1000
    new = (value if value > present else present) + limit.amount * interval
    return new if new - present <= limit.most * interval else None


def left_of(limit: Limit, value: int, now: int) -> tuple[int, int]:
    """Return how much may follow at once, and after how many microseconds the whole limit is left again.

    `value` is that of the limit's row. `now` is in milliseconds.
    """
    if limit.period is not None:
        left, remaining = limit.most - value, limit.resets_at - now
        return (left if left > 0 else 0), (remaining * 1000 if remaining > 0 else 0)
    ahead = value - now * 1000
    if ahead <= 0:
        return limit.most, 0
    left = limit.most + -ahead // limit.interval  # rounded up
    return (left if left > 0 else 0), ahead


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
    left, microseconds = left_of(limit, value, now)
    reset = microseconds / MICROSECONDS
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


def count_all(limits: Limits, values: Sequence[int], now: int) -> list[int]:
    """Return the values of all limits' rows after a request. `values` are the present ones, in the same order.

    Raises an error, and counts nothing, if one of the limits refuses the request.
    """
    new: list[int] = []
    for limit, value in zip(limits.each, values, strict=True):
        after = counted(limit, value, now)
        if after is None:
            raise refusal(limit, value, now)
        new.append(after)
    return new


def would_pass(limits: Limits, values: Mapping[str, int], now: int) -> bool:
    """Return whether all limits let a request pass. `values` has the present values of rows."""
    return all(counted(limit, values.get(limit.name, 0), now) is not None for limit in limits)
