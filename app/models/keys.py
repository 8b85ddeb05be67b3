"""API keys as the store keeps them: hashes of their secrets, never the secrets."""

from datetime import datetime
from typing import NamedTuple

from .tenants import NO_QUOTAS, Quotas


class KeyLimits(NamedTuple):
    """How much a key may do. None stands for the server's setting, 0 for no limit."""

    submits_per_minute: int | None = None


NO_KEY_LIMITS = KeyLimits()


class KeyCounts(NamedTuple):
    """The limits and the quotas of a key."""

    limits: KeyLimits
    quotas: Quotas


NO_KEY_COUNTS = KeyCounts(NO_KEY_LIMITS, NO_QUOTAS)


class NewKey(NamedTuple):
    """A key to store. `scopes` are names of `AccessScope`. `expires_at` None means never.

    `webhook_url` is the webhook of messages that are submitted with the key and name none. `webhook_secret` signs all
    webhooks of its messages. The store keeps it as it is, since it has to be readable.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    expires_at: datetime | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    limits: KeyLimits = NO_KEY_LIMITS
    quotas: Quotas = NO_QUOTAS


class ApiKey(NamedTuple):
    """A stored key. `previous_hash` is the hash of the secret before a rotation, which is good until `previous_until`.

    `last_used_at` is up to a minute late. `signs_webhooks` tells whether the key has a secret for webhooks.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    secret_hash: str
    previous_hash: str | None
    previous_until: datetime | None
    webhook_url: str | None
    signs_webhooks: bool
    limits: KeyLimits = NO_KEY_LIMITS
    quotas: Quotas = NO_QUOTAS

    @property
    def counts(self) -> KeyCounts:
        """Return its limits and quotas."""
        return KeyCounts(self.limits, self.quotas)


class KeyWebhook(NamedTuple):
    """The webhook that a key adds to the messages that its callers submit.

    `url` is the webhook of messages that name none. `signing_key` is the id of the key if it has a secret that signs
    the webhooks of its messages; None means the server's secret.
    """

    url: str | None
    signing_key: str | None


class AccessState(NamedTuple):
    """The number of the last change of any key, and whether there is a key that was not revoked."""

    revision: int
    has_keys: bool
