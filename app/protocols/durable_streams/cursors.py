"""Cursors, which shared caches between readers and this server have in the addresses of live reads.

A cursor is the number of an interval of time. It grows for each reader, so that no cached reply is asked for again and
again.
"""

import secrets
from datetime import UTC, datetime

INTERVAL_SECONDS = 20

EPOCH = datetime(2024, 10, 9, tzinfo=UTC).timestamp()

MAX_JITTER_SECONDS = 3_600

MAX_DIGITS = 15


def cursor_at(now: float) -> int:
    """Return the cursor of a time in seconds since 1970, UTC."""
    return int((now - EPOCH) // INTERVAL_SECONDS)


def cursor_after(given: str | None, now: float) -> int:
    """Return the cursor for a reader who sent `given`: the present one, or a greater one than theirs.

    A text that is no cursor counts as None.
    """
    present = cursor_at(now)
    if given is None or not (given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS):
        return present
    if int(given) < present:
        return present
    return int(given) + 1 + secrets.randbelow(MAX_JITTER_SECONDS // INTERVAL_SECONDS)
