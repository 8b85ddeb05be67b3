"""Tells which agents callers may use."""

from ..access.principals import Principal
from ..services import Services


def visible_agents(services: Services, caller: Principal) -> tuple[str, ...]:
    """Return the agents that the caller may use."""
    return tuple(filter(caller.visibility.shows_agent, services.registry.names))
