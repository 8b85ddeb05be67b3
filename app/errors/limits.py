"""The errors of limits and quotas."""

from datetime import datetime
from math import ceil

from ..text import amount_of, rfc3339
from . import AgentQueueError


class LimitExceeded(AgentQueueError):
    """A limit or a quota refuses the request for now. Nothing was stored.

    `policy` is the name of the limit, which lets `most` pass in `window_seconds`. `left` may pass at once; after
    `reset_seconds`, the whole limit is left again. The request may pass after `retry_after` whole seconds.
    """

    def __init__(
        self, detail: str, *, policy: str, most: int, window_seconds: int, left: int, reset_seconds: float, wait: float
    ) -> None:
        super().__init__(detail)
        self.policy = policy
        self.most = most
        self.window_seconds = window_seconds
        self.left = left
        self.reset_seconds = reset_seconds
        self.retry_after = max(1, ceil(wait))


class RateLimitExceeded(LimitExceeded):
    """Too many messages or requests have come within a short time."""

    code = "rate_limit_exceeded"

    def __init__(
        self,
        whose: str,
        *,
        what: str = "messages",
        policy: str,
        most: int,
        window_seconds: int,
        left: int,
        reset_seconds: float,
        wait: float,
    ) -> None:
        in_window = "a minute" if window_seconds == 60 else f"{window_seconds} seconds"
        seconds = amount_of(max(1, ceil(wait)), "seconds")
        # A read stores nothing in any case.
        again = f"Nothing was stored; send the request again in {seconds}." if what == "messages" else ""
        super().__init__(
            f"The limit of {amount_of(most, what)} in {in_window} for this {whose} is reached. "
            f"{again or f'Send the request again in {seconds}.'}",
            policy=policy, most=most, window_seconds=window_seconds, left=left, reset_seconds=reset_seconds, wait=wait,
        )  # fmt: skip


class QuotaExceeded(LimitExceeded):
    """The quota of a day or a month of UTC is used up, or has less left than the `amount` of the request.

    `resets_at` is when the next day or month begins.
    """

    code = "quota_exceeded"

    def __init__(
        self,
        whose: str,
        *,
        unit: str,
        period: str,
        policy: str,
        most: int,
        window_seconds: int,
        left: int,
        amount: int = 1,
        resets_at: datetime,
        wait: float,
    ) -> None:
        told = f"has {amount_of(left, unit)} left, and the request has {amount}" if left else "is used up"
        super().__init__(
            f"The quota of {amount_of(most, unit)} in a {period} for this {whose} {told}. Nothing was stored. "
            f"The next {period} begins at {rfc3339(resets_at)}.",
            policy=policy, most=most, window_seconds=window_seconds, left=left, reset_seconds=wait, wait=wait,
        )  # fmt: skip
        self.resets_at = resets_at


class TenantQueueFull(AgentQueueError):
    """The tenant has as many queued messages as it may have."""

    code = "tenant_queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The queue holds its maximum of {amount_of(limit, 'messages')} of this tenant. Nothing was stored; send "
            "it again later."
        )
        self.limit = limit


class TooManyStreams(AgentQueueError):
    """The maximum of open streams and WebSockets is reached."""

    code = "too_many_streams"
