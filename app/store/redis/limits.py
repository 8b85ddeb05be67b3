"""Reads rows of limits."""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from ...models.limits import Limits
from ...policy.limits import would_pass
from ..ports import LimitStore
from .rooms import RedisRooms


class RedisLimits(RedisRooms, LimitStore):
    """Implements `LimitStore` on Redis."""

    @override
    async def limit_values(self, names: Sequence[str]) -> Mapping[str, int]:
        values = await self._reads.run("limit_values", *names) if names else []
        return {name: int(value) for name, value in zip(names, values, strict=True) if value is not None}

    async def may_pass(self, limits: Limits) -> bool:
        """Return whether the limits would let a request pass now. Nothing is counted."""
        values = await self.limit_values([each.name for each in limits])
        return would_pass(limits, values, self._now())

    @override
    async def prune_limits(self) -> None:
        """Do nothing: the server deletes each row when it expires."""
