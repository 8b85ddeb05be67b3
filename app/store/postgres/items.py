"""Changes items."""

from collections.abc import Sequence

from typing_extensions import override

from ...errors import LeaseLost
from ...models.attempts import Lease
from ...models.items import ItemName, ItemWrite, namespace_text
from ..sql.items import ItemChanges, expiry
from .changes import Writes
from .session import Step, step


class ItemWrites(Writes, ItemChanges):
    """Changes items, each call in a transaction of its own.

    All calls lock in the order of the names, so none waits for another in a circle. Only an insert can lock the name of
    an item that does not exist, so items to delete are put too when others are, and deleted after that.
    """

    @override
    def put_items(self, tenant: str, writes: Sequence[ItemWrite], lease: Lease | None) -> None:
        deleted = [each.name for each in writes if each.value is None]
        guard = [] if lease is None else [step("share_fence", id=lease.message_id)]
        with self.transaction(*guard) as (now, rows):
            if lease is not None and rows[0] != [(lease.fence,)]:
                raise LeaseLost(lease.message_id, lease.fence)
            steps: list[Step] = []
            if len(deleted) < len(writes):
                steps.append(
                    step(
                        "put_items",
                        **_named(tenant, [each.name for each in writes]),
                        values=[each.value or "null" for each in writes],
                        ttls=[each.ttl_ms for each in writes],
                        expiries=[expiry(each, now) for each in writes],
                        now=now,
                    )
                )
            if deleted:
                steps.append(step("delete_items", **_named(tenant, deleted)))
            self.session.run_all(*steps)

    @override
    def refresh_items(self, tenant: str, names: Sequence[ItemName]) -> None:
        with self.transaction() as (now, _):
            self.rows("refresh_items", **_named(tenant, names), now=now)

    @override
    def prune_items(self, limit: int) -> int:
        with self.transaction() as (now, _):
            pruned = self.rows("prune_items", now=now, limit=limit)
            if not pruned:
                self.session.discard()
        return len(pruned)


def _named(tenant: str, names: Sequence[ItemName]) -> dict[str, object]:
    return {
        "tenant": tenant,
        "namespaces": [namespace_text(each.namespace) for each in names],
        "keys": [each.key for each in names],
    }
