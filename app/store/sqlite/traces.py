"""Changes the traces of messages."""

from typing_extensions import override

from ..sql.traces import TraceChanges
from .changes import Changes


class TraceWrites(Changes, TraceChanges):
    """Changes traces, inside a transaction."""

    @override
    def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        self.execute("keep_trace", id=message_id, fence=fence, trace=trace)
