"""Keys of requests: what was answered to the request that came with a key first."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import KeyReused
from ...models.messages import RequestKey
from ..ports import KEY_SECONDS
from .changes import Writes

KeyName = tuple[str, str]
"""Tenant and key."""

KEY_MS = KEY_SECONDS * 1000


class KnownKey(NamedTuple):
    """What a key stands for; `receipts` is a JSON array."""

    fingerprint: str
    receipts: str


def name_of(key: RequestKey) -> KeyName:
    """What tells a key from others."""
    return key.tenant, key.key


class Keyed(Writes):
    """Takes keys inside a transaction, before any other lock: whoever wants the same key waits for its end."""

    def enter_keys(self, keys: Sequence[RequestKey], now: int) -> Mapping[KeyName, KnownKey]:
        """What those stand for that an earlier request came with; the others are taken."""
        if not keys:
            return {}
        keys = sorted(keys, key=lambda key: (key.tenant.encode(), key.key.encode()))
        named = _named([name_of(key) for key in keys])
        entered = self.rows(
            "enter_keys", **named, fingerprints=[key.fingerprint for key in keys], now=now, before=now - KEY_MS
        )
        taken = set(entered)
        known = [name_of(key) for key in keys if name_of(key) not in taken]
        if not known:
            return {}
        rows = self.rows("find_keys", **_named(known))
        return {(tenant, key): KnownKey(fingerprint, receipts) for tenant, key, fingerprint, receipts in rows}

    def keep_receipts(self, receipts: Mapping[KeyName, str]) -> None:
        """What a replay of these keys is to give."""
        if receipts:
            self.rows("keep_receipts", **_named(list(receipts)), receipts=list(receipts.values()))

    def drop_keys(self, names: Sequence[KeyName]) -> None:
        """Keys whose requests were refused stand for nothing."""
        if names:
            self.rows("drop_keys", **_named(names))


def check_fingerprint(key: RequestKey, known: KnownKey) -> None:
    """Raises KeyReused."""
    if known.fingerprint != key.fingerprint:
        raise KeyReused


def _named(names: Sequence[KeyName]) -> dict[str, list[str]]:
    return {"tenants": [tenant for tenant, _ in names], "keys": [key for _, key in names]}
