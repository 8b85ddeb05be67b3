"""Keeps API keys: the part that both SQL stores share."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from typing_extensions import override

from ...clock import to_milliseconds
from ...models.audit import NewAudit
from ...models.keys import AccessState, ApiKey, KeyCounts, NewKey
from ...models.tenants import given_of
from ..keys import to_key
from ..ports import AccessStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .query_runner import QueryRunner
from .rooms import SqlRooms


class AccessChanges(RecordedChanges, Protocol):
    """Changes keys, inside a transaction."""

    def add_key(self, new: NewKey) -> ApiKey:
        """Implement `AccessStore.add_key`."""

    def rotate_key(self, tenant: str | None, key_id: str, secret_hash: str, previous_until: int) -> ApiKey:
        """Implement `AccessStore.rotate_key`. `previous_until` is in milliseconds."""

    def change_key(self, tenant: str | None, key_id: str, counts: KeyCounts, expected: KeyCounts) -> ApiKey | None:
        """Implement `AccessStore.change_key`."""

    def revoke_key(self, tenant: str | None, key_id: str) -> ApiKey:
        """Implement `AccessStore.revoke_key`."""

    def use_keys(self, used: Mapping[str, int]) -> None:
        """Implement `AccessStore.use_keys`. The times are in milliseconds."""


class SqlAccess(SqlRooms, AccessStore):
    """Implements `AccessStore` for both SQL stores."""

    _access_thread: GroupCommitThread
    _access_changes: AccessChanges

    @override
    async def add_key(self, new: NewKey, *, audit: NewAudit | None = None) -> ApiKey:
        changes = self._access_changes
        return await self._access_thread.run(lambda: changes.recorded(audit, lambda: changes.add_key(new)))

    @override
    async def get_key(self, tenant: str | None, key_id: str) -> ApiKey | None:
        return await self._read_thread.run(lambda: _get(self._reads, tenant, key_id))

    @override
    async def list_keys(self, tenant: str | None, *, after: str, limit: int) -> list[ApiKey]:
        def read() -> list[ApiKey]:
            return [to_key(row) for row in self._lists.rows("list_keys", tenant=tenant, after=after, limit=limit)]

        return await self._list_thread.run(read)

    @override
    async def rotate_key(
        self,
        tenant: str | None,
        key_id: str,
        secret_hash: str,
        previous_until: datetime,
        *,
        audit: NewAudit | None = None,
    ) -> ApiKey:
        changes, until = self._access_changes, to_milliseconds(previous_until)
        return await self._access_thread.run(
            lambda: changes.recorded(audit, lambda: changes.rotate_key(tenant, key_id, secret_hash, until))
        )

    @override
    async def change_key(
        self,
        tenant: str | None,
        key_id: str,
        counts: KeyCounts,
        *,
        expected: KeyCounts,
        audit: NewAudit | None = None,
    ) -> ApiKey | None:
        changes = self._access_changes
        return await self._access_thread.run(
            lambda: changes.recorded(audit, lambda: changes.change_key(tenant, key_id, counts, expected))
        )

    @override
    async def revoke_key(self, tenant: str | None, key_id: str, *, audit: NewAudit | None = None) -> ApiKey:
        changes = self._access_changes
        return await self._access_thread.run(
            lambda: changes.recorded(audit, lambda: changes.revoke_key(tenant, key_id))
        )

    @override
    async def use_keys(self, used: Mapping[str, datetime]) -> None:
        times = {key_id: to_milliseconds(used[key_id]) for key_id in sorted(used)}
        await self._access_thread.run(lambda: self._access_changes.use_keys(times))

    @override
    async def access_state(self) -> AccessState:
        def read() -> AccessState:
            revision, has_keys = self._reads.rows("access_state")[0]
            return AccessState(revision, bool(has_keys))

        return await self._read_thread.run(read)


def new_key_values(new: NewKey, now: int) -> dict[str, object]:
    """Return the parameters of the query `add_key`."""
    expires_at = None if new.expires_at is None else to_milliseconds(new.expires_at)
    counts = count_texts(KeyCounts(new.limits, new.quotas))
    return {**new._asdict(), **counts, "scopes": " ".join(new.scopes), "expires_at": expires_at, "now": now}


def count_texts(counts: KeyCounts) -> dict[str, str]:
    """Return the columns of limits and quotas."""
    return {"limits": json.dumps(given_of(counts.limits)), "quotas": json.dumps(given_of(counts.quotas))}


def _get(reads: QueryRunner, tenant: str | None, key_id: str) -> ApiKey | None:
    row = reads.row("get_key", tenant=tenant, id=key_id)
    return None if row is None else to_key(row)
