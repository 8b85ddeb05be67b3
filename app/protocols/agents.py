"""Tells which agents callers may use."""

from ..access.principals import Principal
from ..errors import AgentNotFound
from ..services import Services


def visible_agents(services: Services, caller: Principal) -> tuple[str, ...]:
    """Return the agents that the caller may use."""
    return tuple(filter(caller.visibility.shows_agent, services.registry.names))


def visible_agent(services: Services, caller: Principal, name: str) -> str:
    """Return the name of an agent that the caller may use. Raises AgentNotFound."""
    names = visible_agents(services, caller)
    if name not in names:
        raise AgentNotFound(name, names)
    return name
