"""Counting many requests by one look at the rows gives what counting each of them alone gives."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import AgentQueueError
from app.models.limits import Counted, Limit, Limited, Limits, Period
from app.policy.limits import count_all, expiry_of, rests_of
from app.store.sql.limit_rows import LimitRows
from tests.clock import START

T = TypeVar("T")

PRESENT = START * 1000

RATE = Limit("rate", "tenant", Limited.TENANT, 7, 60)
OTHER = Limit("other", "key", Limited.KEY, 5, 3600, amount=2)
QUOTA = Limit("quota", "key-messages-day", Limited.KEY, 9, 86_400, Period.DAY, START + 3_600_001)
BATCH = [limit._replace(amount=3) for limit in (RATE, QUOTA)]
GIVEN = (Limits(RATE, OTHER, QUOTA), Limits(QUOTA, RATE), Limits(*BATCH), Limits(OTHER), Limits())
"""Limits that share rows, in different orders."""


class Request(NamedTuple):
    """A request with some of GIVEN. With `fails`, it does not count in the end."""

    limits: int
    fails: bool


REQUESTS = st.lists(st.builds(Request, st.integers(0, len(GIVEN) - 1), st.booleans()), max_size=30)
STORED = st.fixed_dictionaries(
    {
        RATE.name: st.integers(PRESENT - 10**7, PRESENT + 60 * 10**6),
        OTHER.name: st.sampled_from([0, PRESENT, PRESENT + 720_000_001]),
        QUOTA.name: st.integers(0, 9),
    }
)


def outcome(call: Callable[[], T]) -> T | AgentQueueError:
    """Return the value of a call, or else its refusal."""
    try:
        return call()
    except AgentQueueError as refused:
        return refused


@settings(max_examples=300)
@given(REQUESTS, STORED)
def test_requests_count_as_if_each_was_alone(requests: list[Request], stored: dict[str, int]) -> None:
    rows, values, changed = LimitRows(), dict(stored), dict[str, int]()
    for request in requests:
        limits = GIVEN[request.limits]
        after = outcome(partial(count_all, limits, [values[limit.name] for limit in limits], START))
        counted = outcome(partial(rows.count, limits, START, lambda _: stored))
        if isinstance(after, AgentQueueError):
            assert (type(counted), str(counted)) == (type(after), str(after))
            continue
        if counted is None:
            assert not limits.each
            continue
        assert isinstance(counted, Counted)
        assert counted.rests == rests_of(limits, after, START)
        if not request.fails:
            rows.keep(counted)
            for limit, value in zip(limits, after, strict=True):
                values[limit.name], changed[limit.name] = value, expiry_of(limit, value)
    assert list(rows.changed()) == [(name, values[name], changed[name]) for name in sorted(changed)]
    rows.clear()
    assert list(rows.changed()) == []
