"""Reads messages and totals. Lists do not delay single reads: they have their own GroupCommitThread."""

import math
from collections.abc import Sequence

from typing_extensions import override

from ...models.attempts import FailedAttempt
from ...models.messages import Alias, DeadLetterGroup, Message, MessageFilter, MessagePart, Page, QueueSummary
from ...models.workers import Throughput
from ..ports import QueryStore
from .rooms import SqlRooms
from .scanning import count, scan


class SqlQueries(SqlRooms, QueryStore):
    """Implements `QueryStore` for both SQL stores."""

    @override
    async def get(self, tenant: str, message_id: str) -> Message:
        return await self._read_thread.run(lambda: self._reads.message(tenant, message_id))

    @override
    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        return await self._read_thread.run(lambda: self._reads.head(tenant, thread_id))

    @override
    async def find_alias(self, tenant: str, alias: str) -> Alias | None:
        return await self._read_thread.run(lambda: self._reads.alias(tenant, alias))

    @override
    async def list_aliases(self, tenant: str, message_id: str) -> dict[str, int]:
        return await self._read_thread.run(lambda: self._reads.aliases(tenant, message_id))

    @override
    async def list_messages(
        self, tenant: str, chosen: MessageFilter, page: Page, *, positions: bool = True
    ) -> list[Message]:
        return (await self._scan(tenant, chosen, page, positions=positions)).messages

    @override
    async def search_messages(self, tenant: str, chosen: MessageFilter, page: Page, *, seconds: float) -> MessagePart:
        return await self._scan(tenant, chosen, page, positions=False, seconds=seconds)

    async def _scan(
        self, tenant: str, chosen: MessageFilter, page: Page, *, positions: bool, seconds: float = math.inf
    ) -> MessagePart:
        lists = self._lists
        return await scan(
            lambda part: self._list_thread.run(lambda: lists.scan_part(tenant, chosen, part, positions=positions)),
            page,
            seconds=seconds,
        )

    @override
    async def with_positions(self, tenant: str, messages: Sequence[Message]) -> list[Message]:
        return await self._list_thread.run(lambda: self._lists.with_positions(tenant, messages))

    @override
    async def count_messages(self, tenant: str, chosen: MessageFilter, *, most: int) -> int:
        return await count(
            lambda part: self._list_thread.run(lambda: self._lists.message_count_part(tenant, chosen, part)), most
        )

    @override
    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        return await self._list_thread.run(lambda: self._lists.attempts(tenant, message_ids))

    @override
    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        return await self._list_thread.run(lambda: self._lists.dead_letter_groups(tenant, limit))

    @override
    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        return await self._list_thread.run(lambda: self._lists.summary(tenant, limit))

    @override
    async def throughput(self) -> Throughput:
        return await self._read_thread.run(self._reads.throughput)
