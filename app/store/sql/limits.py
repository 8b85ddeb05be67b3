"""Reads and deletes rows of limits: the part that both SQL stores share."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from typing_extensions import override

from ...models.limits import Limits
from ...policy.limits import would_pass
from ..ports import LimitStore
from .rooms import SqlRooms


class LimitDuties(Protocol):
    """Deletes rows of limits, inside a transaction."""

    def prune_limits(self) -> None:
        """Implement `LimitStore.prune_limits`."""


class SqlLimits(SqlRooms, LimitStore):
    """Implements `LimitStore` for both SQL stores."""

    _limit_duties: LimitDuties

    @override
    async def limit_values(self, names: Sequence[str]) -> Mapping[str, int]:
        given = json.dumps(names)
        return dict(await self._read_thread.run(lambda: self._reads.rows("limit_values", names=given)))

    async def may_pass(self, limits: Limits) -> bool:
        """Return whether the limits would let a request pass now. Nothing is counted."""
        values = await self.limit_values([each.name for each in limits])
        return would_pass(limits, values, self._clock.now())

    @override
    async def prune_limits(self) -> None:
        await self._upkeep_thread.run(self._limit_duties.prune_limits, durable=False)
