"""Limits that new messages count against."""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

MICROSECONDS = 1_000_000


class Limited(StrEnum):
    """The holder of a limit, in the words of refusals."""

    KEY = "API key"
    TOKEN = "token"  # noqa: S105  no secret
    SUBJECT = "end user"
    ADDRESS = "address"
    TENANT = "tenant"


class Period(StrEnum):
    """The period of a quota, of UTC."""

    DAY = "day"
    MONTH = "month"


class _LimitFields(NamedTuple):
    name: str
    policy: str
    limited: Limited
    most: int
    window_seconds: int
    period: Period | None = None
    resets_at: int = 0
    amount: int = 1
    what: str = "messages"


class Limit(_LimitFields):
    """A limit, and the amount that a request counts against it.

    `name` names the row that the store keeps. Without a `period`, `most` messages pass at once and `most` more in each
    `window_seconds`, evenly. With a period, `most` messages pass until `resets_at`, in milliseconds of the store's
    time. The next period has another `name`. `policy` names the limit in replies, and
    `what` says what counts. A limit is made once for many requests, so it remembers what is computed from its fields.
    """

    @cached_property
    def interval(self) -> int:
        """Return the time between two messages that come evenly, in microseconds."""
        return max(1, round(self.window_seconds * MICROSECONDS / self.most))


class Terms(NamedTuple):
    """The numbers of a limit by which requests are counted.

    A limit without a period counts microseconds: each request adds `step` to a time, which may be `span` after the
    present. A limit with a period has the `interval` 0, and counts what its holders use.
    """

    interval: int
    step: int
    span: int
    resets_at: int


class Limits:
    """The limits that requests count against, made once for many of them.

    Equal only to itself, so that what is computed from the limits of one request is found at once for the next.
    """

    def __init__(self, *limits: Limit) -> None:
        self.each: Sequence[Limit] = limits

    def __iter__(self) -> Iterator[Limit]:
        """Yield the limits, in order."""
        return iter(self.each)

    def __len__(self) -> int:
        """Return the number of limits."""
        return len(self.each)

    @cached_property
    def terms(self) -> Sequence[Terms]:
        """Return what requests are counted by, for each limit."""
        intervals = [0 if limit.period is not None else limit.interval for limit in self.each]
        return [
            Terms(interval, limit.amount * (interval or 1), limit.most * (interval or 1), limit.resets_at)
            for limit, interval in zip(self.each, intervals, strict=True)
        ]

    @cached_property
    def names(self) -> str:
        """Return the names of the rows as a JSON array."""
        return json.dumps([limit.name for limit in self.each])

    @cached_property
    def as_json(self) -> str:
        """Return the limits as a JSON array of arrays: the name and the terms of each. '' for no limits."""
        return json.dumps([(limit.name, *terms) for limit, terms in zip(self, self.terms, strict=True)]) if self else ""

    @cached_property
    def shown_policies(self) -> str:
        """Return the limits as the header `RateLimit-Policy` has them."""
        return ", ".join([f'"{limit.policy}";q={limit.most};w={limit.window_seconds}' for limit in self.each])

    @cached_property
    def shown_rests(self) -> str:
        """Return the header `RateLimit` as a text with places for what is left of each limit, and for seconds."""
        return ", ".join([f'"{limit.policy.replace("%", "%%")}";r=%d;t=%d' for limit in self.each])


NO_LIMITS = Limits()


class Counted(NamedTuple):
    """A request that was counted against limits.

    `rests` has two numbers for each limit: how much may follow at once, and seconds until all of it is left again.
    """

    limits: Limits
    rests: Sequence[int]
