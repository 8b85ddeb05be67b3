"""Stores request keys, with the answers to their first requests."""

import json
from collections.abc import Sequence

from ...errors import KeyReused
from ...models.messages import RequestKey
from ..ports import KEY_SECONDS
from ..rows import Receipt
from .changes import Changes


class Keyed(Changes):
    """The base class of writers that accept a request key. It keeps the answer to the key's first request."""

    def _receipts_of(self, key: RequestKey, now: int) -> list[Receipt] | None:
        """Return the answer to an earlier request with this key, None if there was none. Raises KeyReused."""
        found = self.row("find_key", tenant=key.tenant, key=key.key, after=now - KEY_SECONDS * 1000)
        if found is None:
            return None
        fingerprint, receipts = found
        if fingerprint != key.fingerprint:
            raise KeyReused
        return [Receipt(*fields) for fields in json.loads(receipts)]

    def _keep_key(self, key: RequestKey, receipts: Sequence[Receipt], now: int) -> None:
        self.execute("keep_key", **key._asdict(), receipts=json.dumps(receipts), now=now)
