"""The errors of limits and quotas."""

from datetime import datetime
from math import ceil

from ..text import rfc3339
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
        seconds = max(1, ceil(wait))
        super().__init__(
            f"The limit of {most} {what} in {in_window} for this {whose} is reached. Nothing was stored; send the "
            f"request again in {seconds} second{'' if seconds == 1 else 's'}.",
            policy=policy, most=most, window_seconds=window_seconds, left=left, reset_seconds=reset_seconds, wait=wait,
        )  # fmt: skip


class QuotaExceeded(LimitExceeded):
    """The quota of a day or a month of UTC is used up. `resets_at` is when the next one begins."""

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
        resets_at: datetime,
        wait: float,
    ) -> None:
        super().__init__(
            f"The quota of {most} {unit} in a {period} for this {whose} is used up: {left} left. Nothing was stored. "
            f"The next {period} begins at {rfc3339(resets_at)}.",
            policy=policy, most=most, window_seconds=window_seconds, left=left, reset_seconds=wait, wait=wait,
        )  # fmt: skip
        self.resets_at = resets_at


class TenantQueueFull(AgentQueueError):
    """The tenant has as many queued messages as it may have."""

    code = "tenant_queue_full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The queue holds its maximum of {limit} messages of this tenant. Nothing was stored; send it again later."
        )
        self.limit = limit


class TooManyStreams(AgentQueueError):
    """The maximum of open streams and WebSockets is reached."""

    code = "too_many_streams"
