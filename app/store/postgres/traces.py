"""Changes the traces of messages."""

from typing_extensions import override

from ..sql.traces import TraceChanges
from .changes import Writes
from .session import step


class TraceWrites(Writes, TraceChanges):
    """Changes traces, each in a transaction of its own."""

    @override
    def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        with self.transaction():
            self.session.run_all(step("keep_trace", id=message_id, fence=fence, trace=trace))
