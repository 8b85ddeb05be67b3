"""Tells what the shares of tenants do to messages."""

from typing_extensions import override

from ...policy.rank import RankPolicy
from ..ports import ShareStore
from .rooms import SqlRooms


class SqlShares(SqlRooms, ShareStore):
    """Implements `ShareStore` for both SQL stores."""

    _ranks: RankPolicy

    @override
    async def count_overtaking(self, tenant: str, message_id: str) -> int:
        if not self._ranks.shares:
            return 0
        return await self._read_thread.run(lambda: self._reads.overtaking(tenant, message_id))
