"""Keeps API keys."""

import json
from collections.abc import Mapping
from datetime import datetime

from typing_extensions import override

from ...clock import to_milliseconds
from ...errors.access import KeyNotFound, KeyRevoked
from ...errors.erasures import ErasureInProgress
from ...models.audit import NewAudit
from ...models.erasures import ErasureKind
from ...models.keys import AccessState, ApiKey, KeyCounts, NewKey
from ...models.tenants import given_of
from ..ports import ACCESS, AccessStore
from . import replies
from .rooms import RedisRooms


class RedisAccess(RedisRooms, AccessStore):
    """Implements `AccessStore` on Redis."""

    @override
    async def add_key(self, new: NewKey, *, audit: NewAudit | None = None) -> ApiKey:
        reply = await self._writes.run(
            "add_key", self._now(), new.id, new.tenant, new.name, " ".join(new.scopes), new.secret_hash,
            "" if new.expires_at is None else to_milliseconds(new.expires_at),
            new.webhook_url or "", new.webhook_secret or "", *_texts(KeyCounts(new.limits, new.quotas)),
            topics=lambda reply: (ACCESS,) if isinstance(reply, list) else (), audit=self._record(audit),
        )  # fmt: skip
        if reply == "erasing":
            raise ErasureInProgress(ErasureKind.TENANT)
        return replies.api_key(reply)

    @override
    async def get_key(self, tenant: str | None, key_id: str) -> ApiKey | None:
        reply = await self._reads.run("get_key", tenant or "", key_id)
        return None if reply is None else replies.api_key(reply)

    @override
    async def list_keys(self, tenant: str | None, *, after: str, limit: int) -> list[ApiKey]:
        begin = f"({after}" if after else "-"
        return list(map(replies.api_key, await self._reads.run("list_keys", tenant or "", begin, limit)))

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
        reply = await self._writes.run(
            "rotate_key", self._now(), tenant or "", key_id, secret_hash, to_milliseconds(previous_until),
            topics=lambda reply: (ACCESS,) if isinstance(reply, list) else (), audit=self._record(audit),
        )  # fmt: skip
        if reply == "revoked":
            raise KeyRevoked(key_id)
        if reply is None:
            raise KeyNotFound(key_id)
        return replies.api_key(reply)

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
        reply = await self._writes.run(
            "change_key", self._now(), tenant or "", key_id, *_texts(counts), *_texts(expected),
            topics=lambda reply: (ACCESS,) if isinstance(reply, list) else (), audit=self._record(audit),
        )  # fmt: skip
        if reply == "revoked":
            raise KeyRevoked(key_id)
        if reply is None:
            raise KeyNotFound(key_id)
        return None if reply == "moved" else replies.api_key(reply)

    @override
    async def revoke_key(self, tenant: str | None, key_id: str, *, audit: NewAudit | None = None) -> ApiKey:
        reply = await self._writes.run(
            "revoke_key",
            self._now(),
            tenant or "",
            key_id,
            topics=lambda reply: (ACCESS,) if reply else (),
            audit=self._record(audit),
        )
        if reply is None:
            raise KeyNotFound(key_id)
        return replies.api_key(reply)

    @override
    async def use_keys(self, used: Mapping[str, datetime]) -> None:
        if used:
            named = [part for key_id in used for part in (key_id, to_milliseconds(used[key_id]))]
            await self._writes.run("use_keys", *named)

    @override
    async def access_state(self) -> AccessState:
        revision, live = await self._reads.run("access_state")
        return AccessState(int(revision), live > 0)


def _texts(counts: KeyCounts) -> tuple[str, str]:
    """Return limits and quotas as scripts take them."""
    return json.dumps(given_of(counts.limits)), json.dumps(given_of(counts.quotas))
