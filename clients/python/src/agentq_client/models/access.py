"""Callers: their keys, tokens and tickets, and what they changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .base import Model


class Token(Model):
    """A token for an end user, with a part of the caller's rights."""

    token: str = Field(repr=False)
    expires_at: datetime
    subject: str | None = None
    scopes: list[str] = []


class Ticket(Model):
    """A ticket that opens one stream, for readers that can send no header."""

    ticket: str = Field(repr=False)
    expires_at: datetime


class TokensRevoked(Model):
    """The tokens that were ended: those of `subject`, or all of the tenant if it is None."""

    subject: str | None = None


class KeyLimits(Model):
    """Limits of a key. None stands for the server's setting, 0 for no limit."""

    submits_per_minute: int | None = None


class Quotas(Model):
    """Quotas in a day or a month of UTC. None stands for no quota."""

    messages_per_day: int | None = None
    messages_per_month: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None


class Key(Model):
    """An API key without its secrets. `expires_at` is None for a key that never expires."""

    id: str
    tenant: str
    name: str
    scopes: list[str] = []
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    previous_until: datetime | None = None
    webhook_url: str | None = None
    signs_webhooks: bool = False
    limits: KeyLimits = KeyLimits()
    quotas: Quotas = Quotas()


class KeyIssued(Key):
    """A key with its new secret `key`, which cannot be shown again."""

    key: str = Field(repr=False)


class TenantLimits(Model):
    """Limits of a tenant. None stands for the server's setting, 0 for no limit."""

    submits_per_minute: int | None = None
    subject_submits_per_minute: int | None = None
    streams: int | None = None
    queued: int | None = None
    running: int | None = None


class Tenant(Model):
    """The settings of a tenant. `subject_quotas` count for each end user.

    `retention_days` and `event_retention_hours` None stand for the server's settings.
    """

    tenant: str
    weight: float = 1
    limits: TenantLimits
    quotas: Quotas
    subject_quotas: Quotas
    retention_days: float | None = None
    event_retention_hours: float | None = None
    created_at: datetime
    changed_at: datetime


class AuditRecord(Model):
    """The changes of one call, and its caller. `number` grows with each record."""

    number: int
    at: datetime
    actor: str
    key_id: str | None = None
    address: str | None = None
    action: str
    tenant: str | None = None
    targets: list[str] = []
    affected: int
    details: dict[str, Any] = {}


class Caller(Model):
    """The caller by their credential. `expires_at` is None for one that never expires.

    `ends_at` and `csrf_token` are those of a browser's session, else None. `hide_payloads` tells pages to hide
    the texts of messages until they are asked for.
    """

    actor: str
    tenant: str
    subject: str | None = None
    scopes: list[str] = []
    expires_at: datetime | None = None
    ends_at: datetime | None = None
    csrf_token: str | None = Field(default=None, repr=False)
    hide_payloads: bool = False
