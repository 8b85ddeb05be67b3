"""Histograms of times with fixed buckets, and the percentiles that they give. Pure, without I/O."""

from bisect import bisect_left
from collections.abc import Mapping
from math import ceil

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds of the buckets of metrics for waits and runs: 5 ms to an hour. A last bucket has all longer times."""

_EXACT_MILLISECONDS = 10
_RATIO = 1.2
_LONGEST_MILLISECONDS = 7 * 86_400_000


def _bounds() -> tuple[int, ...]:
    bounds = list(range(_EXACT_MILLISECONDS + 1))
    while bounds[-1] < _LONGEST_MILLISECONDS:
        bounds.append(round(_EXACT_MILLISECONDS * _RATIO ** (len(bounds) - _EXACT_MILLISECONDS)))
    return tuple(bounds)


_MILLISECONDS = _bounds()
"""Upper bounds of the buckets of figures: each millisecond up to 10, then each a fifth longer than the one before."""

BUCKETS = len(_MILLISECONDS) + 1
"""The number of buckets. The last one has all times above a week."""


def bucket_of(milliseconds: int) -> int:
    """Return the number of the bucket of a time, from 0 to BUCKETS - 1."""
    return bisect_left(_MILLISECONDS, milliseconds)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Return about the seconds that the given share (0 to 1) of the times does not exceed. None without times.

    `counts` has the number of times in each bucket. The times of a bucket are taken as evenly spread in it, so that the
    result is within a tenth of the time that it stands for. A time in the last bucket counts as its lower bound.
    """
    wanted = ceil(sum(counts.values()) * share)
    if not wanted:
        return None
    below = 0
    for bucket in sorted(counts):
        if below + counts[bucket] >= wanted:
            break
        below += counts[bucket]
    if bucket in (0, BUCKETS - 1):
        return _MILLISECONDS[-1] / 1000 if bucket else 0.0
    shortest, longest = _MILLISECONDS[bucket - 1] + 1, _MILLISECONDS[bucket]
    return (shortest + (longest - shortest) * (wanted - below - 0.5) / counts[bucket]) / 1000
