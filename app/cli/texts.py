"""Texts for people: durations, amounts, and the state of a message."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..client.models import Accepted, Message


PLACES = ("ahead_in_queue", "starting_soon")
"""Codes of reasons that say no more than the place in the queue."""


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file cannot be read."""
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"


def seconds(amount: float) -> str:
    """Return a duration in its largest fitting unit."""
    if amount < 10:
        return f"{max(amount, 0):.1f} s"
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if amount < 100 * size or (unit == "h" and amount < 48 * size):
            return f"{amount / size:.0f} {unit}"
    return f"{amount / 86_400:.0f} d"


def size(amount: int | None) -> str:
    """Return an amount of bytes in its largest fitting unit, nothing for None."""
    if amount is None:
        return ""
    for unit, bytes_of_one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= bytes_of_one:
            return f"{amount / bytes_of_one:.1f} {unit}"
    return f"{amount} B"


def age(moment: datetime | None) -> str:
    """Return how long ago a time was, nothing for None."""
    return "" if moment is None else seconds((datetime.now(UTC) - moment).total_seconds())


def stamp(moment: datetime | None) -> str:
    """Return a time in UTC, nothing for None."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def waiting(position: int | None, start: datetime | None, reason: str | None, code: str | None = None) -> str:
    """Return the place of a message in the queue, and the time until its start or else why it waits.

    `code` is that of the reason. A reason that only repeats the place is left out.
    """
    parts = ["queued" if position is None else f"queued, {position:,} before it" if position else "queued, next"]
    if start is not None and (left := (start - datetime.now(UTC)).total_seconds()) > 0:
        parts.append(f"starts in about {seconds(left)}")
    elif reason and code not in PLACES:
        parts.append(reason.rstrip("."))
    return " · ".join(parts)


def accepted(message: "Accepted | Message") -> str:
    """Return where a message stands that has not begun."""
    if message.state != "queued":
        return message.state
    reason = message.waiting_reason
    text, code = (None, None) if reason is None else (reason.message, reason.code)
    return waiting(message.queue_position, message.estimated_start_at, text, code)


def footer(message: "Message") -> str:
    """Return tokens, rate, cost and time of a message that has ended. What is not known is left out."""
    parts = []
    took = None
    if message.started_at is not None and message.completed_at is not None:
        took = (message.completed_at - message.started_at).total_seconds()
    if message.usage is not None:
        made = message.usage.output_tokens
        parts.append(f"{made:,} tokens")
        if took:
            parts.append(f"{made / took:.0f} tokens/s")
        if message.usage.cost is not None:
            parts.append(f"${message.usage.cost}")
    if took is not None:
        parts.append(seconds(took))
    return " · ".join(parts)
