"""Ids of assistants. Each agent is one assistant, whose id follows from the agent's name."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
"""The namespace that LangGraph's own server uses, so that an id in a client's code fits both servers."""


def assistant_id_of(agent: str) -> str:
    """Return the id of the assistant for an agent."""
    return str(uuid5(_NAMESPACE, agent))
