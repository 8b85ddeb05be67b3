"""The headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

from math import ceil

from ..errors.limits import LimitExceeded
from ..models.limits import Counted


def limit_headers(counted: Counted | None) -> dict[str, str]:
    """Return the headers that tell what a request has left of its limits, none without limits."""
    if counted is None:
        return {}
    limits, rests = counted
    return {"RateLimit-Policy": limits.shown_policies, "RateLimit": limits.shown_rests % tuple(rests)}


def refusal_headers(error: LimitExceeded) -> dict[str, str]:
    """Return the headers of a request that a limit refuses."""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.policy}";q={error.most};w={error.window_seconds}',
        "RateLimit": f'"{error.policy}";r={error.left};t={ceil(error.reset_seconds)}',
    }
