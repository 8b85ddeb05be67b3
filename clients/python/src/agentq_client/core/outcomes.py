"""The meaning of the end of a message to a caller who waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MessageCancelled, MessageFailed, MessageInterrupted, StreamLost
from ..events import Cancelled, Failed, TerminalEvent

if TYPE_CHECKING:
    from ..models import Message


def check_end(message_id: str, event: TerminalEvent) -> None:
    """Raise the error of a terminal event that is not `done`."""
    if isinstance(event, Failed):
        raise _failed(message_id, event.error, event.code)
    if isinstance(event, Cancelled):
        raise MessageCancelled(f"The message {message_id} was cancelled.", message_id=message_id)


def check_message(message: Message) -> None:
    """Raise the error of a message that gives no answer now."""
    if message.state == "failed":
        raise _failed(message.message_id, message.error or "no error was stored", message.error_code)
    if message.state == "cancelled":
        raise MessageCancelled(f"The message {message.message_id} was cancelled.", message_id=message.message_id)
    if message.state == "interrupted":
        questions = [{"id": question.id, "value": question.value} for question in message.interrupts]
        what = f"The message {message.message_id} asks a human: {questions}."
        raise MessageInterrupted(what, message_id=message.message_id, questions=questions)


def check_completed(message: Message, *, last_event_id: int | None, text: str) -> None:
    """Raise the error of a message that has no answer when its stream is over. `text` is what the stream showed."""
    check_message(message)
    if message.state != "completed":
        raise StreamLost(
            f"The stream of {message.message_id} ended, but the message is {message.state}.",
            message_id=message.message_id,
            last_event_id=last_event_id,
            text=text,
        )


def _failed(message_id: str, error: str, code: str | None) -> MessageFailed:
    return MessageFailed(f"The message {message_id} failed: {error.rstrip('.')}.", message_id=message_id, code=code)
