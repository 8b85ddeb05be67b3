"""The meaning of the end of a message to a caller who waits for its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import MessageCancelled, MessageFailed, MessageInterrupted, WaitTimeout
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


def _failed(message_id: str, error: str, code: str | None) -> MessageFailed:
    return MessageFailed(f"The message {message_id} failed: {error.rstrip('.')}.", message_id=message_id, code=code)


class Deadline:
    """The end of a wait. `seconds` is None for a wait without end."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def limit(self, seconds: float) -> float:
        """Return `seconds`, or the time that is left if it is shorter."""
        return seconds if self._end is None else max(0.001, min(seconds, self._end - time.monotonic()))

    def check(self, message_id: str) -> None:
        """Raise WaitTimeout when the time is over."""
        if self._end is not None and time.monotonic() >= self._end:
            raise WaitTimeout(
                f"The message {message_id} has not ended within {self._seconds:g} seconds.", message_id=message_id
            )
