"""Makes held messages ready again, when their tenants may run more messages."""

import json

from ..limits import RELEASED_AT_ONCE
from ..ports import MOVED, READY
from .changes import Changes


class Releasing(Changes):
    """The base class of writers that release held messages, inside a transaction.

    Each list of ready messages, of one agent and version, gets as many messages of a tenant as the tenant may run. An
    agent without workers therefore keeps no other from the tenant's room.
    """

    def forget_freed(self) -> None:
        """Forget what the transaction before has freed. Called at the begin of a transaction."""
        self._freed.clear()

    def release_freed(self) -> None:
        """Release as many messages of each tenant as the transaction has ended or put back. Called before its end."""
        if self._freed and self.execute("any_held").get:
            for tenant, count in self._freed.items():
                self._release(tenant, count)

    def release_held(self) -> bool:
        """Release the held messages of all tenants that may run more. Return whether messages are left to release."""
        holding = [tenant for (tenant,) in self.rows("list_holding_tenants")]
        if not holding:
            return False
        room: dict[str, int] = dict(self.rows("find_room", tenants=json.dumps(holding), most=self._running))
        left = False
        for tenant in holding:
            released = self._release(tenant, min(room.get(tenant, RELEASED_AT_ONCE), RELEASED_AT_ONCE))
            left = left or (tenant not in room and released >= RELEASED_AT_ONCE)
        return left

    def _release(self, tenant: str, count: int) -> int:
        """Release up to `count` messages of each agent and version. Return how many."""
        released = 0
        for agent, version in self.rows("list_held", tenant=tenant) if count > 0 else ():
            self.execute("release_held", tenant=tenant, agent=agent, version=version, limit=count)
            released += self._connection().changes()
        if released:
            self.touched |= {READY, MOVED}
        return released
