"""Converts usage between models and what the stores keep."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..models.usage import GroupUsage, ModelUsage, Tokens, UsageFilter, UsageGroup, UsageKey

HOUR_MS = 3_600_000

BEFORE_ALL = UsageKey(hour=-1)
"""A key before the keys of all groups."""


def hour_of(now: int) -> int:
    """Return the hour, counted from the epoch, of a time in milliseconds."""
    return now // HOUR_MS


def stored_usage(usage: Sequence[ModelUsage]) -> list[dict[str, Any]]:
    """Return the columns of usage by name, for each model."""
    return [{"model": model, **tokens._asdict()} for model, tokens in usage]


def recorded_usage(usage: Sequence[ModelUsage]) -> str:
    """Return the sums of usage as records for the figures have them: the fields of `Tokens`, separated by spaces."""
    return " ".join(str(sum(counts)) for counts in zip(*(each.tokens for each in usage), strict=True))


def to_model_usage(row: Sequence[Any]) -> ModelUsage:
    """Return usage from a row of the model and the fields of `Tokens`."""
    return ModelUsage(row[0], Tokens(*row[1:]))


def to_group_usage(row: Sequence[Any]) -> GroupUsage:
    """Return usage from a row of the fields of `UsageKey` and of `Tokens`."""
    width = len(UsageKey._fields)
    return GroupUsage(UsageKey(*row[:width]), Tokens(*row[width:]))


def hours_of(chosen: UsageFilter, groups: frozenset[UsageGroup], after: UsageKey | None) -> tuple[int, int]:
    """Return the first hour to read, and the hour before which to stop.

    Groups of hours and of days come in the order of time. The hours before the group `after` are then not read.
    """
    begin, end = (hour_of(round(each.timestamp() * 1000)) for each in (chosen.begin, chosen.end))
    if after is not None and not groups.isdisjoint({UsageGroup.HOUR, UsageGroup.DAY}):
        begin = max(begin, after.hour)
    return begin, end


def grouping(groups: frozenset[UsageGroup]) -> Mapping[str, bool]:
    """Return the values of a query that say by what it groups."""
    return {f"by_{group}": group in groups for group in UsageGroup}


def group_key(groups: frozenset[UsageGroup], row: UsageKey) -> UsageKey:
    """Return the key of the group to which usage with the full key `row` belongs."""
    hour = 0
    if UsageGroup.HOUR in groups:
        hour = row.hour
    elif UsageGroup.DAY in groups:
        hour = row.hour // 24 * 24
    named = (getattr(row, name) if name in groups else "" for name in UsageKey._fields[1:])
    return UsageKey(hour, *named)
