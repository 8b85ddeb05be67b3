"""Histograms of times with fixed buckets, and the percentiles that they give. Pure, without I/O."""

from bisect import bisect_left
from collections.abc import Mapping

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper bounds of the buckets for waits and runs: 5 ms to an hour. A last bucket has all longer times."""

_MILLISECONDS = tuple(round(bound * 1000) for bound in SECONDS)


def bucket_of(milliseconds: int) -> int:
    """Return the number of the bucket of a time: 0 for the shortest times, `len(SECONDS)` for the longest."""
    return bisect_left(_MILLISECONDS, milliseconds)


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Return about the seconds that the given share (0 to 1) of the times does not exceed. None without times.

    `counts` has the number of times in each bucket. The times of a bucket are taken as evenly spread in it. A time in
    the last bucket counts as its lower bound.
    """
    wanted = sum(counts.values()) * share
    if not wanted:
        return None
    below = 0
    for bucket in sorted(counts):
        if below + counts[bucket] >= wanted:
            lower = SECONDS[bucket - 1] if bucket else 0.0
            upper = SECONDS[min(bucket, len(SECONDS) - 1)]
            return lower + (upper - lower) * (wanted - below) / counts[bucket]
        below += counts[bucket]
    return float(SECONDS[-1])
