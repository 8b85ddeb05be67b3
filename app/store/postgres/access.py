"""Changes API keys."""

from collections.abc import Mapping

from typing_extensions import override

from ...errors.access import KeyNotFound, KeyRevoked
from ...models.keys import ApiKey, KeyCounts, NewKey
from ..erasures import refused_thread
from ..keys import to_key
from ..ports import ACCESS
from ..sql.access import AccessChanges, count_texts, new_key_values
from .changes import Writes
from .session import step


class AccessWrites(Writes, AccessChanges):
    """Changes keys, each call in a transaction of its own."""

    @override
    def add_key(self, new: NewKey) -> ApiKey:
        with self.transaction(step("lock_access"), step("running_erasures")) as (now, (_, running)):
            if (refusal := refused_thread(new.tenant, None, None, running)) is not None:
                raise refusal
            (row,) = self.rows("add_key", **new_key_values(new, now))
            self._changed()
        return to_key(row)

    @override
    def rotate_key(self, tenant: str | None, key_id: str, secret_hash: str, previous_until: int) -> ApiKey:
        with self.transaction():
            row = self.row(
                "rotate_key", tenant=tenant, id=key_id, secret_hash=secret_hash, previous_until=previous_until
            )
            if row is None:
                raise (KeyRevoked if self.row("get_key", tenant=tenant, id=key_id) else KeyNotFound)(key_id)
            self._changed()
        return to_key(row)

    @override
    def change_key(self, tenant: str | None, key_id: str, counts: KeyCounts, expected: KeyCounts) -> ApiKey | None:
        with self.transaction():
            was = {f"expected_{name}": text for name, text in count_texts(expected).items()}
            row = self.row("change_key", tenant=tenant, id=key_id, **count_texts(counts), **was)
            if row is not None:
                self._changed()
                return to_key(row)
            self.session.discard()
            if (row := self.row("get_key", tenant=tenant, id=key_id)) is None:
                raise KeyNotFound(key_id)
            if to_key(row).revoked_at is not None:
                raise KeyRevoked(key_id)
        return None

    @override
    def revoke_key(self, tenant: str | None, key_id: str) -> ApiKey:
        with self.transaction() as (now, _):
            row = self.row("revoke_key", tenant=tenant, id=key_id, now=now)
            if row is not None:
                self._changed()
                return to_key(row)
            self.session.discard()
            if (row := self.row("get_key", tenant=tenant, id=key_id)) is None:
                raise KeyNotFound(key_id)
        return to_key(row)

    @override
    def use_keys(self, used: Mapping[str, int]) -> None:
        with self.transaction():
            self.rows("use_keys", ids=list(used), times=list(used.values()))

    def _changed(self) -> None:
        self.rows("raise_revision")
        self.touched.add(ACCESS)
