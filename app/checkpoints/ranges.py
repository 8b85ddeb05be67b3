"""Ranges of numbers: which messages a stored list has, in its order.

A range has its first number and the number behind its last. A list to which messages were only appended is one range.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def numbers_in(ranges: Iterable[Range]) -> Iterator[int]:
    """Yield the numbers in their order."""
    return chain.from_iterable(range(first, end) for first, end in ranges)


def count(ranges: Iterable[Range]) -> int:
    """Return how many numbers there are."""
    return sum(end - first for first, end in ranges)


def cut(ranges: Ranges, start: int, stop: int) -> Ranges:
    """Return the ranges of the numbers at the positions from `start` to before `stop`."""
    found = []
    position = 0
    for first, end in ranges:
        low, high = max(first, first + start - position), min(end, first + stop - position)
        if low < high:
            found.append((low, high))
        position += end - first
    return tuple(found)


def packed(numbers: Iterable[int]) -> Ranges:
    """Return the ranges of these numbers, in their order."""
    return joined([(number, number + 1) for number in numbers])


def joined(*parts: Sequence[Range]) -> Ranges:
    """Return the ranges one after the other. Join a range that continues the range before it."""
    found: list[Range] = []
    for first, end in chain(*parts):
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return tuple(found)


def union(parts: Iterable[Ranges]) -> Ranges:
    """Return all numbers of these ranges, once and in ascending order."""
    found: list[Range] = []
    for first, end in sorted(set(chain.from_iterable(parts))):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return tuple(found)


def without(ranges: Ranges, kept: Ranges) -> Ranges:
    """Return the numbers of `ranges` that are not in `kept`. Both are results of `union`."""
    found = []
    rest = iter((*kept, None))
    keep = next(rest)
    for first, end in ranges:
        at = first
        while keep is not None and keep[0] < end:
            if at < keep[0]:
                found.append((at, keep[0]))
            at = max(at, keep[1])
            if keep[1] > end:
                break
            keep = next(rest)
        if at < end:
            found.append((at, end))
    return tuple(found)


def from_json(stored: Iterable[Sequence[Any]]) -> Ranges:
    """Return the ranges in a JSON value."""
    return tuple((int(first), int(end)) for first, end in stored)
