"""Ids of assistants, threads and runs. Each agent is one assistant, whose id follows from the agent's name."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from uuid_utils import uuid7

from ...errors import InvalidRequest

_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace that LangGraph's own server uses, so that an id in a client's code fits both servers."""


def assistant_id_of(agent: str) -> str:
    """Return the id of the assistant for an agent."""
    return str(uuid5(_NAMESPACE, agent))


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


def require_uuid(text: str, field: str) -> None:
    """Raise InvalidRequest unless a text is a UUID. `field` names it."""
    if not is_uuid(text):
        raise InvalidRequest(f"{field}: expected a UUID", field=field)
