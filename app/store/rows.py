"""Rows to models."""

from typing import Any

from app.clock import to_datetime
from app.models import Message, MessageState, NewMessage, Priority, Thread

PREVIEW_LENGTH = 160


def preview(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 2 * PREVIEW_LENGTH].split())
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


def to_message(row: tuple[Any, ...], queue_position: int | None = None) -> Message:
    """From the columns of the query `message_columns`."""
    return Message.model_construct(
        number=row[0],
        id=row[1],
        tenant=row[2],
        thread_id=row[3],
        thread_number=row[4],
        agent=row[5],
        content=row[6],
        priority=Priority(row[7]),
        state=MessageState(row[8]),
        created_at=to_datetime(row[9]),
        started_at=None if row[10] is None else to_datetime(row[10]),
        completed_at=None if row[11] is None else to_datetime(row[11]),
        result=row[12],
        error=row[13],
        error_code=row[14],
        attempt=row[15],
        fence=row[16],
        queue_position=queue_position,
    )


def accepted(new: NewMessage, number: int, thread_number: int, now: int, queue_position: int) -> Message:
    """A message as it is just after it was stored."""
    return Message.model_construct(
        **new.__dict__,
        number=number,
        thread_number=thread_number,
        state=MessageState.QUEUED,
        created_at=to_datetime(now),
        started_at=None,
        completed_at=None,
        result=None,
        error=None,
        error_code=None,
        attempt=0,
        fence=0,
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
