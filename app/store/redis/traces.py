"""Changes the traces of messages."""

from typing_extensions import override

from ..ports import TraceStore
from .rooms import RedisRooms


class RedisTraces(RedisRooms, TraceStore):
    """Implements `TraceStore` on Redis."""

    @override
    async def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        await self._writes.run("keep_trace", message_id, fence, trace)
