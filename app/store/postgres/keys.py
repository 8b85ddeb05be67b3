"""Stores aliases, and request keys with the answers to their first requests."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...errors import AliasTaken, KeyReused
from ...models.messages import RequestKey
from ..limits import KEY_SECONDS
from ..parts import NamedAlias
from .changes import Writes
from .session import step

KeyName = tuple[str, str]
"""Tenant and `Idempotency-Key`."""

KEY_MS = KEY_SECONDS * 1000


class KnownKey(NamedTuple):
    """A request key that was used before. `receipts` is a JSON array with a `Receipt` for each stored message."""

    fingerprint: str
    receipts: str


def name_of(key: RequestKey) -> KeyName:
    """Return the tenant and the `Idempotency-Key` of a request key."""
    return key.tenant, key.key


class Keyed(Writes):
    """Inserts request keys. Only limits are locked before. A second request with the same key waits for the first."""

    def enter_keys(self, keys: Sequence[RequestKey], now: int) -> Mapping[KeyName, KnownKey]:
        """Insert the keys that no request has used. Return the other keys, with what is stored for them."""
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
        """Store for each key the receipts, as JSON, that a replay of its request returns."""
        if receipts:
            self.rows("keep_receipts", **_named(list(receipts)), receipts=list(receipts.values()))

    def drop_keys(self, names: Sequence[KeyName]) -> None:
        """Delete keys whose requests were refused."""
        if names:
            self.rows("drop_keys", **_named(names))

    def enter_aliases(self, aliases: Sequence[NamedAlias], first_event: int) -> None:
        """Insert aliases. Raises AliasTaken.

        `first_event` is the id of the first event that belongs to each alias. These are the last locks that a
        transaction takes.
        """
        if not aliases:
            return
        named = _named_aliases(aliases)
        _, taken = self.session.run_all(
            step("enter_aliases", **named, first_event=first_event), step("find_taken_aliases", **named)
        )
        if taken:
            raise AliasTaken(taken[0][0])

    def any_taken(self, aliases: Sequence[NamedAlias]) -> bool:
        """Return whether any of these aliases names another message."""
        return bool(aliases and self.rows("find_taken_aliases", **_named_aliases(aliases)))


def _named_aliases(aliases: Sequence[NamedAlias]) -> dict[str, list[str]]:
    ordered = sorted(aliases, key=lambda each: (each.tenant.encode(), each.alias.encode()))
    return {
        "tenants": [each.tenant for each in ordered],
        "aliases": [each.alias for each in ordered],
        "message_ids": [each.message_id for each in ordered],
    }


def check_fingerprint(key: RequestKey, known: KnownKey) -> None:
    """Raise KeyReused if the key came with another request before."""
    if known.fingerprint != key.fingerprint:
        raise KeyReused


def _named(names: Sequence[KeyName]) -> dict[str, list[str]]:
    return {"tenants": [tenant for tenant, _ in names], "keys": [key for _, key in names]}
