"""The headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

from math import ceil

from ..errors.limits import LimitExceeded
from ..models.limits import Counted
from ..policy.limits import rests_of


def limit_headers(counted: Counted | None) -> dict[str, str]:
    """Return the headers that tell what a request has left of its limits, none without limits."""
    if counted is None:
        return {}
    limits = counted.limits
    rests = limits.shown_rests % tuple(rests_of(*counted))
    return {"RateLimit-Policy": limits.shown_policies, "RateLimit": rests}


def refusal_headers(error: LimitExceeded) -> dict[str, str]:
    """Return the headers of a request that a limit refuses."""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.policy}";q={error.most};w={error.window_seconds}',
        "RateLimit": f'"{error.policy}";r={error.left};t={ceil(error.reset_seconds)}',
    }
