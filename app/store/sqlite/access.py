"""Changes API keys."""

from collections.abc import Mapping

from typing_extensions import override

from ...errors.access import KeyNotFound, KeyRevoked
from ...models.keys import ApiKey, KeyCounts, NewKey
from ..erasures import refused_thread
from ..keys import to_key
from ..ports import ACCESS
from ..sql.access import AccessChanges, count_texts, new_key_values
from .changes import Changes


class AccessWrites(Changes, AccessChanges):
    """Changes keys, inside a transaction."""

    @override
    def add_key(self, new: NewKey) -> ApiKey:
        if (refusal := refused_thread(new.tenant, None, None, self.rows("running_erasures"))) is not None:
            raise refusal
        (row,) = self.rows("add_key", **new_key_values(new, self._now()))
        self._changed()
        return to_key(row)

    @override
    def rotate_key(self, tenant: str | None, key_id: str, secret_hash: str, previous_until: int) -> ApiKey:
        row = self.row("rotate_key", tenant=tenant, id=key_id, secret_hash=secret_hash, previous_until=previous_until)
        if row is None:
            raise (KeyRevoked if self.row("get_key", tenant=tenant, id=key_id) else KeyNotFound)(key_id)
        self._changed()
        return to_key(row)

    @override
    def change_key(self, tenant: str | None, key_id: str, counts: KeyCounts, expected: KeyCounts) -> ApiKey | None:
        was = {f"expected_{name}": text for name, text in count_texts(expected).items()}
        row = self.row("change_key", tenant=tenant, id=key_id, **count_texts(counts), **was)
        if row is not None:
            self._changed()
            return to_key(row)
        self._changes_nothing = True
        if (row := self.row("get_key", tenant=tenant, id=key_id)) is None:
            raise KeyNotFound(key_id)
        if to_key(row).revoked_at is not None:
            raise KeyRevoked(key_id)
        return None

    @override
    def revoke_key(self, tenant: str | None, key_id: str) -> ApiKey:
        row = self.row("revoke_key", tenant=tenant, id=key_id, now=self._now())
        if row is not None:
            self._changed()
            return to_key(row)
        if (row := self.row("get_key", tenant=tenant, id=key_id)) is None:
            raise KeyNotFound(key_id)
        self._changes_nothing = True
        return to_key(row)

    @override
    def use_keys(self, used: Mapping[str, int]) -> None:
        self.execute_each("use_key", [{"id": key_id, "used_at": used_at} for key_id, used_at in used.items()])

    def _changed(self) -> None:
        self.execute("raise_revision")
        self.touched.add(ACCESS)
