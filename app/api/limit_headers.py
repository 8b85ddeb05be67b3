"""The headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

from collections.abc import Sequence
from math import ceil

from ..errors.limits import LimitExceeded
from ..models.limits import LimitLeft


def limit_headers(limits: Sequence[LimitLeft]) -> dict[str, str]:
    """Return the headers that tell what is left of limits, none without limits."""
    if not limits:
        return {}
    return {
        "RateLimit-Policy": ", ".join([limit.shown_policy for limit, _, _ in limits]),
        "RateLimit": ", ".join([f'"{limit.policy}";r={left};t={ceil(reset)}' for limit, left, reset in limits]),
    }


def refusal_headers(error: LimitExceeded) -> dict[str, str]:
    """Return the headers of a request that a limit refuses."""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.policy}";q={error.most};w={error.window_seconds}',
        "RateLimit": f'"{error.policy}";r={error.left};t={ceil(error.reset_seconds)}',
    }
