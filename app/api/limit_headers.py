"""The headers `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

from math import ceil

from ..errors.limits import LimitExceeded
from ..models.limits import MICROSECONDS, Counted
from ..policy.limits import left_of


def limit_headers(counted: Counted | None) -> dict[str, str]:
    """Return the headers that tell what a request has left of its limits, none without limits."""
    if counted is None:
        return {}
    limits, values, now = counted
    shown = []
    for limit, value in zip(limits.each, values, strict=True):
        left, microseconds = left_of(limit, value, now)
        shown.append(f'"{limit.policy}";r={left};t={-(-microseconds // MICROSECONDS)}')  # rounded up
    return {"RateLimit-Policy": limits.shown_policies, "RateLimit": ", ".join(shown)}


def refusal_headers(error: LimitExceeded) -> dict[str, str]:
    """Return the headers of a request that a limit refuses."""
    return {
        "Retry-After": str(error.retry_after),
        "RateLimit-Policy": f'"{error.policy}";q={error.most};w={error.window_seconds}',
        "RateLimit": f'"{error.policy}";r={error.left};t={ceil(error.reset_seconds)}',
    }
