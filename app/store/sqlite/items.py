"""Changes items."""

from collections.abc import Sequence

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Lease
from ...models.items import ItemName, ItemWrite, namespace_text
from ..sql.items import ItemChanges, expiry
from .changes import Changes


class ItemWrites(Changes, ItemChanges):
    """Changes items, inside a transaction."""

    @override
    def put_items(self, tenant: str, writes: Sequence[ItemWrite], lease: Lease | None) -> None:
        if lease is not None and self.row("find_fence", id=lease.message_id) != (lease.fence,):
            raise LeaseLost(lease.message_id, lease.fence)
        now = self._now()
        for write in writes:
            name = {"tenant": tenant, "namespace": namespace_text(write.namespace), "key": write.key}
            if write.value is None:
                self.execute("delete_item", **name)
            else:
                self.execute(
                    "put_item", **name, value=write.value, now=now, ttl_ms=write.ttl_ms, expires_at=expiry(write, now)
                )

    @override
    def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        now = self._now()
        self.execute_each(
            "refresh_item",
            [
                {"tenant": tenant, "namespace": namespace_text(each.namespace), "key": each.key, "now": now}
                for each in names
            ],
        )

    @override
    def prune_items(self, limit: int) -> int:
        self.execute("prune_items", now=self._now(), limit=limit)
        return self._connection().changes()
