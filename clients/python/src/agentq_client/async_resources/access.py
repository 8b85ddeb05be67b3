"""Callers: their keys, tokens and tickets, and what they changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import models
from ..calls import access as calls
from ..options import Time
from ..pages import AsyncPages

if TYPE_CHECKING:
    from ..async_client import AsyncAgentQ


class AsyncKeys:
    """API keys."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(self, *, tenant: str | None = None, limit: int | None = None) -> AsyncPages[models.Key]:
        """Return the keys by id, also expired and revoked ones."""
        return self._client.pages(calls.keys({"tenant": tenant, "limit": limit}))

    async def create(
        self,
        name: str | None = None,
        *,
        tenant: str | None = None,
        scopes: Iterable[str] | None = None,
        expires_at: Time | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
        limits: Mapping[str, int | None] | None = None,
        quotas: Mapping[str, int | None] | None = None,
    ) -> models.KeyIssued:
        """Make a key. Store its `key`, which is shown once.

        By default the scopes are `submit`, `read` and `control`, and it never expires.
        """
        body: dict[str, Any] = {"name": name, "tenant": tenant, "scopes": None if scopes is None else [*scopes]}
        body |= {"expires_at": expires_at, "webhook_url": webhook_url, "webhook_secret": webhook_secret}
        body |= {"limits": limits, "quotas": quotas}
        return await self._client.call(calls.create_key(body))

    async def get(self, key_id: str) -> models.Key:
        """Return a key without its secrets."""
        return await self._client.call(calls.key(key_id))

    async def change(self, key_id: str, changes: Mapping[str, Any]) -> models.Key:
        """Change the given limits and quotas of a key, such as `{"limits": {"submits_per_minute": 60}}`.

        None gives a limit or a quota its default.
        """
        return await self._client.call(calls.change_key(key_id, changes))

    async def rotate(self, key_id: str, *, grace_seconds: float | None = None) -> models.KeyIssued:
        """Give a key a new secret. The present one stays good for `grace_seconds`, a day by default."""
        return await self._client.call(calls.rotate_key(key_id, grace_seconds))

    async def revoke(self, key_id: str) -> models.Key:
        """Revoke a key for good."""
        return await self._client.call(calls.revoke_key(key_id))


class AsyncTenants:
    """Settings of tenants: their shares, limits and quotas."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(self, *, limit: int | None = None) -> AsyncPages[models.Tenant]:
        """Return the tenants that have settings of their own, by name."""
        return self._client.pages(calls.tenants({"limit": limit}))

    async def get(self, tenant: str) -> models.Tenant:
        """Return the settings of a tenant. Raises NotFound if it has none of its own."""
        return await self._client.call(calls.tenant(tenant))

    async def change(self, tenant: str, changes: Mapping[str, Any]) -> models.Tenant:
        """Change the given settings of a tenant, such as `{"weight": 2, "limits": {"queued": 500}}`.

        None gives a setting its default.
        """
        return await self._client.call(calls.change_tenant(tenant, changes))


class AsyncTokens:
    """Tokens of end users."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def create(
        self,
        *,
        subject: str | None = None,
        thread_ids: Iterable[str] | None = None,
        thread_prefix: str | None = None,
        agents: Iterable[str] | None = None,
        scopes: Iterable[str] | None = None,
        expires_in: int | None = None,
        rate_per_minute: int | None = None,
    ) -> models.Token:
        """Make a token for an end user, with a part of the caller's rights. `expires_in` is in seconds."""
        lists = {"thread_ids": thread_ids, "agents": agents, "scopes": scopes}
        body = {name: None if each is None else [*each] for name, each in lists.items()}
        more = {"subject": subject, "thread_prefix": thread_prefix, "expires_in": expires_in}
        return await self._client.call(calls.create_token({**body, **more, "rate_per_minute": rate_per_minute}))

    async def revoke(self, subject: str | None = None, *, all_of_tenant: bool = False) -> models.TokensRevoked:
        """End the tokens and tickets of an end user, or all of the tenant, that were made before now."""
        return await self._client.call(calls.revoke_tokens(subject, all_of_tenant=all_of_tenant))


class AsyncTickets:
    """Tickets for streams where no header can be sent."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    async def create(self, message_id: str | None = None) -> models.Ticket:
        """Make a ticket that opens one stream of the message, or a WebSocket."""
        return await self._client.call(calls.create_ticket(message_id))


class AsyncAudit:
    """The audit log: what was changed, and by whom."""

    def __init__(self, client: AsyncAgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        tenant: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> AsyncPages[models.AuditRecord]:
        """Return the records, newest first. `target` is the id of what was changed."""
        query = {"tenant": tenant, "actor": actor, "action": action, "target": target}
        return self._client.pages(calls.audit({**query, "since": since, "until": until, "limit": limit}))
