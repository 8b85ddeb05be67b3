"""Rows to models."""

from typing import Any

from app.clock import to_datetime
from app.models import Message, MessageState, Priority, Thread

PREVIEW_LENGTH = 160


def preview(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 2 * PREVIEW_LENGTH].split())
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


def to_message(row: tuple[Any, ...], queue_position: int | None = None) -> Message:
    """From the columns of the query `message_columns`."""
    return Message.model_construct(
        id=row[0],
        tenant=row[1],
        thread_id=row[2],
        thread_number=row[3],
        agent=row[4],
        content=row[5],
        priority=Priority(row[6]),
        state=MessageState(row[7]),
        created_at=to_datetime(row[8]),
        started_at=None if row[9] is None else to_datetime(row[9]),
        completed_at=None if row[10] is None else to_datetime(row[10]),
        result=row[11],
        error=row[12],
        error_code=row[13],
        attempt=row[14],
        fence=row[15],
        queue_position=queue_position,
    )


THREAD_STATES = (
    MessageState.QUEUED,
    MessageState.PROCESSING,
    MessageState.COMPLETED,
    MessageState.FAILED,
    MessageState.CANCELLED,
)


def to_thread(row: tuple[Any, ...]) -> Thread:
    """From the columns of the queries `list_threads` and `get_thread`."""
    thread_id, last_number, created_at, last_activity, last_preview, *counts = row
    return Thread(
        thread_id=thread_id,
        last_number=last_number,
        message_count=sum(counts),
        created_at=to_datetime(created_at),
        last_activity=to_datetime(last_activity),
        last_message_preview=last_preview,
        states=dict(zip(THREAD_STATES, counts, strict=True)),
    )
