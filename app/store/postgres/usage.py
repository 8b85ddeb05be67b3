"""Adds to usage and deletes old usage."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ...models.usage import ModelUsage, Tokens
from ..sql.usage import UsageChanges
from ..usage import hour_of
from .changes import Writes
from .session import Step, step

FOLDED_AT_ONCE = 2_000
"""Maximum number of rows that one transaction adds up."""


class NewUsage:
    """The usage of many messages that one transaction adds."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Tokens] = {}

    def add(self, message_id: str, usage: ModelUsage) -> None:
        """Collect the usage of a message."""
        key = message_id, usage.model
        self._rows[key] = self._rows.get(key, Tokens()).plus(usage.tokens)

    def steps(self, now: int) -> list[Step]:
        """Return the steps that add all of it; none if there is nothing to add."""
        if not self._rows:
            return []
        keys = sorted(self._rows)
        columns = zip(*(self._rows[key] for key in keys), strict=True)
        given: Mapping[str, Any] = {
            "message_ids": [message_id for message_id, _ in keys],
            "models": [model for _, model in keys],
            **dict(zip(Tokens._fields, map(list, columns), strict=True)),
        }
        return [
            step("add_message_usage", **given),
            step("add_hourly_usage", hour=hour_of(now), **given),
            step("record_usage", at=now, **given),
        ]


def fold_usage(now: int) -> Step:
    """Return the step that adds up rows to which nobody adds any more. An hour is kept apart for an hour longer."""
    return step("fold_usage", before=hour_of(now) - 1, limit=FOLDED_AT_ONCE)


class UsageWrites(Writes, UsageChanges):
    """Deletes old usage, in a transaction of its own."""

    @override
    def prune_usage(self, before: int, limit: int) -> int:
        with self.transaction():
            deleted = int(self.value("prune_usage", before=before, limit=limit))
            if not deleted:
                self.session.discard()
        return deleted
