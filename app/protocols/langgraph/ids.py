"""Ids of assistants and threads. Each agent is one assistant, whose id follows from the agent's name."""

from uuid import UUID, uuid5

from ...errors import InvalidRequest
from ..ids import is_uuid

_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace that LangGraph's own server uses, so that an id in a client's code fits both servers."""


def assistant_id_of(agent: str) -> str:
    """Return the id of the assistant for an agent."""
    return str(uuid5(_NAMESPACE, agent))


def require_uuid(text: str, field: str, cure: str) -> None:
    """Raise InvalidRequest unless a text is a UUID. `field` names it, and `cure` says what to do."""
    if not is_uuid(text):
        raise InvalidRequest(f"{field}: expected a UUID. {cure}", field=field)
