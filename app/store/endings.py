"""How a message ends: its last state, and the event that tells of it."""

from typing import NamedTuple

from app.clock import to_datetime
from app.models import Completed, Failed, MessageState, NewEvent


class Ending(NamedTuple):
    """A terminal state with all that is stored of it."""

    state: MessageState
    event: NewEvent
    result: str | None = None
    error: str | None = None
    error_code: str | None = None


def ending(outcome: Completed | Failed, now: int) -> Ending:
    """What an attempt came to."""
    match outcome:
        case Completed(result):
            return Ending(MessageState.COMPLETED, NewEvent.done(result, to_datetime(now)), result=result)
        case Failed(error, code):
            event = NewEvent.failed(error, code, to_datetime(now))
            return Ending(MessageState.FAILED, event, error=error, error_code=code)


def cancelled(now: int) -> Ending:
    """A message that was not begun."""
    return Ending(MessageState.CANCELLED, NewEvent.cancelled(to_datetime(now)))


def worker_lost(crashes: int, now: int) -> Ending:
    """A message whose workers were lost so many times."""
    return ending(Failed(f"The worker was lost {crashes} times while it processed this message.", "worker_lost"), now)
