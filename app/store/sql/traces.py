"""Keeps the traces of messages: the part that both SQL stores share."""

from typing import Protocol

from typing_extensions import override

from ..ports import TraceStore
from .group_commit import GroupCommitThread
from .rooms import SqlRooms


class TraceChanges(Protocol):
    """Changes traces, inside a transaction."""

    def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        """Implement `TraceStore.keep_trace`."""


class SqlTraces(SqlRooms, TraceStore):
    """Implements `TraceStore` for both SQL stores."""

    _control_thread: GroupCommitThread
    _traces: TraceChanges

    @override
    async def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        await self._control_thread.run(lambda: self._traces.keep_trace(message_id, fence, trace))
