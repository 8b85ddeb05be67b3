"""Percentiles of times, from the counts of buckets."""

import random
from collections import Counter

import pytest

from app.policy.histograms import BUCKETS, bucket_of, percentile

WEEK = 7 * 86_400_000


@pytest.mark.parametrize("milliseconds", [*range(21), 21, 99, 1_030, 2_400, 59_999, 3_600_001, WEEK])
def test_a_single_time_is_told_within_a_tenth(milliseconds: int) -> None:
    for share in (0.5, 0.95, 0.99):
        told = percentile({bucket_of(milliseconds): 1}, share)
        assert told is not None
        assert abs(told * 1000 - milliseconds) <= 0.1 * milliseconds


def test_percentiles_of_many_times_are_closer() -> None:
    chance = random.Random(7)
    times = sorted(round(chance.lognormvariate(7, 1.5)) for _ in range(10_001))
    counts = Counter(map(bucket_of, times))
    for share in (0.5, 0.95, 0.99):
        told = percentile(counts, share)
        assert told is not None
        assert told * 1000 == pytest.approx(times[int(share * 10_000)], rel=0.06)


def test_longer_times_are_in_later_buckets_up_to_the_last_one() -> None:
    buckets = [bucket_of(milliseconds) for milliseconds in (0, 1, 10, 11, 1_000, WEEK, 10 * WEEK, 2**53)]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1], buckets[-2]) == (0, BUCKETS - 1, BUCKETS - 1)
    assert percentile({BUCKETS - 1: 1}, 0.5) == pytest.approx(WEEK / 1000, rel=0.2)


def test_there_is_no_percentile_without_times() -> None:
    assert percentile({}, 0.5) is None
