"""Ids of runs and of threads, and the times in them."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils import uuid7

from ..access.principals import Principal


def new_id() -> str:
    """Return a UUIDv7, which tells when it was made."""
    return str(uuid7())


def new_thread_id(caller: Principal) -> str | None:
    """Return the id of a new thread that the caller may use. None if the caller may only use some threads."""
    if caller.threads is None:
        return new_id()
    return None if caller.threads.prefix is None else caller.threads.prefix + new_id()


def time_of(text: str) -> datetime | None:
    """Return the time in a UUIDv7; None for any other text."""
    if not is_uuid(text) or UUID(text).version != 7:
        return None
    return datetime.fromtimestamp((UUID(text).int >> 80) / 1000, UTC)


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID with its hyphens."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
