"""Keeps the traces of messages."""

from typing import Protocol


class TraceStore(Protocol):
    """Replaces traces. `AcceptStore.add` stores the first trace of a message."""

    async def keep_trace(self, message_id: str, fence: int, trace: str) -> None:
        """Replace the trace of a message. Do nothing if the message has another fence by now, or is deleted.

        `trace` is the text of a `Trace` (tests/contract/test_traces.py).
        """
