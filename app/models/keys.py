"""API keys as the store keeps them: hashes of their secrets, never the secrets."""

from datetime import datetime
from typing import NamedTuple


class NewKey(NamedTuple):
    """A key to store. `scopes` are names of `AccessScope`. `expires_at` None means never."""

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    expires_at: datetime | None = None


class ApiKey(NamedTuple):
    """A stored key. `previous_hash` is the hash of the secret before a rotation, which is good until `previous_until`.

    `last_used_at` is up to a minute late.
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


class AccessState(NamedTuple):
    """The number of the last change of any key, and whether there is a key that was not revoked."""

    revision: int
    has_keys: bool
