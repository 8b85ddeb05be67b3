"""Ids of runs, and the times in them."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils import uuid7


def new_id() -> str:
    """Return a UUIDv7, which tells when it was made."""
    return str(uuid7())


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
