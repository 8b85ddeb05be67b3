"""Adds to usage and deletes old usage."""

from collections.abc import Sequence

from typing_extensions import override

from ...models.usage import ModelUsage
from ..sql.usage import UsageChanges
from ..usage import hour_of, recorded_usage, stored_usage
from .queries import SqliteReads


class UsageWrites(SqliteReads, UsageChanges):
    """Adds to usage and deletes it, inside a transaction."""

    def add_usage(self, message_id: str, usage: Sequence[ModelUsage], now: int) -> None:
        """Add to the usage of a message and of the present hour, and record it for the figures."""
        rows = [{"message_id": message_id, "hour": hour_of(now), **each} for each in stored_usage(usage)]
        self.execute_each("add_message_usage", rows)
        self.execute_each("add_hourly_usage", rows)
        self.execute("record_usage", message_id=message_id, at=now, usage=recorded_usage(usage))

    @override
    def prune_usage(self, before: int, limit: int) -> int:
        self.execute("prune_usage", before=before, limit=limit)
        return self._connection().changes()
