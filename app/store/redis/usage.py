"""Reads usage and deletes old usage."""

import json
from collections.abc import Sequence

from typing_extensions import override

from ...models.usage import GroupUsage, ModelUsage, Tokens, UsageFilter, UsageGroup, UsageKey
from ..ports import UsageStore
from ..usage import BEFORE_ALL, group_key, hour_of, hours_of
from .rooms import RedisRooms

ROWS_AT_ONCE = 1_000
"""Number of rows after which one script reads no further hour."""

MESSAGES_AT_ONCE = 250
"""Maximum number of messages whose usage one script reads."""

HOURS_AT_ONCE = 100
"""Maximum number of hours of tenants that one script deletes."""


class RedisUsage(RedisRooms, UsageStore):
    """Implements `UsageStore` on Redis."""

    @override
    async def message_usage(self, tenant: str, message_id: str) -> list[ModelUsage]:
        reply = await self._reads.run("message_usage", tenant, message_id)
        return _by_model(reply)

    @override
    async def usage_of_messages(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[ModelUsage]]:
        found: dict[str, list[ModelUsage]] = {}
        for first in range(0, len(message_ids), MESSAGES_AT_ONCE):
            part = message_ids[first : first + MESSAGES_AT_ONCE]
            replies = await self._reads.run("usage_of_messages", tenant, *part)
            found |= {each: _by_model(reply) for each, reply in zip(part, replies, strict=True) if reply}
        return found

    @override
    async def list_usage(
        self, chosen: UsageFilter, groups: frozenset[UsageGroup], *, after: UsageKey | None, limit: int
    ) -> list[GroupUsage]:
        begin, end = hours_of(chosen, groups, after)
        found: dict[UsageKey, Tokens] = {}
        skipped: int | None = 0
        while skipped is not None:
            skipped, rows = await self._reads.run("list_usage", chosen.tenant or "", begin, end, skipped, ROWS_AT_ONCE)
            for hour, tenant, names, counts in rows:
                row = UsageKey(hour, tenant, *json.loads(names))
                key = group_key(groups, row)
                if key > (after or BEFORE_ALL) and _matches(row, chosen):
                    found[key] = found.get(key, Tokens()).plus(_tokens(counts))
        return [GroupUsage(key, found[key]) for key in sorted(found)[:limit]]

    @override
    async def prune_usage(self, *, older_than_seconds: float, limit: int) -> int:
        before = hour_of(self._now() - int(older_than_seconds * 1000))
        return int(await self._writes.run("prune_usage", before, min(limit, HOURS_AT_ONCE)))


def _matches(row: UsageKey, chosen: UsageFilter) -> bool:
    names = ("key", "subject", "agent", "model")
    return all(getattr(chosen, name) in (None, getattr(row, name)) for name in names)


def _by_model(reply: Sequence[str]) -> list[ModelUsage]:
    """Return usage from names and counts of models in turn."""
    counts = dict(zip(reply[::2], reply[1::2], strict=True))
    return [ModelUsage(model, _tokens(counts[model])) for model in sorted(counts)]


def _tokens(counts: str) -> Tokens:
    return Tokens(*map(int, counts.split()))
