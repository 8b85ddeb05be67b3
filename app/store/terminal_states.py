"""The terminal states of messages, with their events."""

from collections.abc import Sequence
from typing import NamedTuple

from ..clock import to_datetime
from ..models.attempts import Cancelled, Completed, Failed, Interrupted, Outcome
from ..models.events import NewEvent
from ..models.messages import MessageState

WORKER_LOST = "The worker was lost."
WORKER_LOST_CODE = "worker_lost"
REQUEUED = "Requeued by an operator."
NOT_ANSWERED = Failed("No answer came in time.", "interrupt_expired", "interrupt_expired")


class Ending(NamedTuple):
    """A terminal state with everything that is stored for it."""

    state: MessageState
    event: NewEvent
    result: str | None = None
    output: str | None = None
    error: str | None = None
    error_code: str | None = None
    fingerprint: str | None = None


def ending(outcome: Completed | Failed | Cancelled, now: int) -> Ending:
    """Return what to store for a message that ends with `outcome` at `now` (ms)."""
    match outcome:
        case Completed(result, output):
            event = NewEvent.done(result, to_datetime(now), output)
            return Ending(MessageState.COMPLETED, event, result=result, output=output)
        case Failed(error, code, fingerprint):
            event = NewEvent.failed(error, code, to_datetime(now))
            # A failure without a fingerprint is grouped by its code.
            return Ending(MessageState.FAILED, event, error=error, error_code=code, fingerprint=fingerprint or code)
        case Cancelled():
            return Ending(MessageState.CANCELLED, NewEvent.cancelled(to_datetime(now)))


def worker_lost(crashes: int) -> Failed:
    """Return the failure of a message whose lease ran out `crashes` times."""
    return Failed(f"The worker was lost {crashes} times while it processed this message.", WORKER_LOST_CODE)


def outcome_size(outcome: Outcome) -> int:
    """Return about how many characters of long texts this outcome stores."""
    match outcome:
        case Completed(result, output):
            return 2 * (len(result) + len(output or ""))
        case Interrupted(interrupts):
            return 2 * len(interrupts)
        case _:
            return 0


def events_size(events: Sequence[NewEvent]) -> int:
    """Return the number of characters in the data of these events."""
    return len(events[0].data) if len(events) == 1 else sum(len(event.data) for event in events)
