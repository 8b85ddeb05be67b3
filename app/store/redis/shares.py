"""Tells what the shares of tenants do to messages."""

from typing_extensions import override

from ..limits import OVERTAKING_COUNTED
from ..ports import ShareStore
from .rooms import RedisRooms


class RedisShares(RedisRooms, ShareStore):
    """Implements `ShareStore` on Redis."""

    @override
    async def count_overtaking(self, tenant: str, message_id: str) -> int:
        if not self._ranks.shares:
            return 0
        return int(await self._reads.run("count_overtaking", tenant, message_id, OVERTAKING_COUNTED))
