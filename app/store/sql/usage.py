"""Keeps usage: the part that both SQL stores share."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from typing_extensions import override

from ...models.usage import GroupUsage, ModelUsage, UsageFilter, UsageGroup, UsageKey
from ..ports import UsageStore
from ..usage import BEFORE_ALL, grouping, hour_of, hours_of, to_group_usage, to_model_usage
from .query_runner import QueryRunner
from .rooms import SqlRooms


class UsageChanges(Protocol):
    """Deletes usage inside a transaction."""

    def prune_usage(self, before: int, limit: int) -> int:
        """Delete up to `limit` rows of hours before `before`, counted from the epoch. Return how many."""


class SqlUsage(SqlRooms, UsageStore):
    """Implements `UsageStore` for both SQL stores."""

    _usage_changes: UsageChanges

    @override
    async def message_usage(self, tenant: str, message_id: str) -> list[ModelUsage]:
        def read() -> list[ModelUsage]:
            return [to_model_usage(row) for row in self._reads.each("message_usage", tenant=tenant, id=message_id)]

        return await self._read_thread.run(read)

    @override
    async def usage_of_messages(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[ModelUsage]]:
        def read() -> dict[str, list[ModelUsage]]:
            found: dict[str, list[ModelUsage]] = {}
            for message_id, *row in self._lists.each("usage_of_messages", tenant=tenant, ids=json.dumps(message_ids)):
                found.setdefault(message_id, []).append(to_model_usage(row))
            return found

        return await self._list_thread.run(read) if message_ids else {}

    @override
    async def list_usage(
        self, chosen: UsageFilter, groups: frozenset[UsageGroup], *, after: UsageKey | None, limit: int
    ) -> list[GroupUsage]:
        begin, end = hours_of(chosen, groups, after)
        values: dict[str, Any] = {
            **{name: getattr(chosen, name) for name in ("key", "subject", "agent", "model")},
            **{f"after_{name}": value for name, value in (after or BEFORE_ALL)._asdict().items()},
            **grouping(groups),
            "begin": begin,
            "end": end,
            "limit": limit,
        }
        return await self._list_thread.run(lambda: _listed(self._lists, chosen.tenant, values))

    @override
    async def prune_usage(self, *, older_than_seconds: float, limit: int) -> int:
        before = hour_of(self._clock.now() - int(older_than_seconds * 1000))
        return await self._upkeep_thread.run(lambda: self._usage_changes.prune_usage(before, limit), durable=False)


def _listed(reads: QueryRunner, tenant: str | None, values: Mapping[str, Any]) -> list[GroupUsage]:
    rows = (
        reads.rows("list_usage", **values)
        if tenant is None
        else reads.rows("list_usage_of_tenant", tenant=tenant, **values)
    )
    return list(map(to_group_usage, rows))
