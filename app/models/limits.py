"""Limits that new messages count against."""

import json
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

    @cached_property
    def as_json(self) -> str:
        """Return name, amount, maximum, interval and end as a JSON array.

        Maximum and interval are in microseconds, or a number of messages and 0 for a limit with a period.
        """
        interval = 0 if self.period is not None else self.interval
        return json.dumps((self.name, self.amount, self.most * (interval or 1), interval, self.resets_at))

    @cached_property
    def shown_policy(self) -> str:
        """Return the limit as the header `RateLimit-Policy` has it."""
        return f'"{self.policy}";q={self.most};w={self.window_seconds}'


class LimitLeft(NamedTuple):
    """The rest of a limit after a request: how many messages may follow at once.

    `reset_seconds` is the time after which the whole limit is left again.
    """

    limit: Limit
    left: int
    reset_seconds: float
