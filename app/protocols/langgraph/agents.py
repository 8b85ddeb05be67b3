"""Finds the agents that clients name as assistants or graphs."""

from ...access.principals import Principal
from ...errors import InvalidRequest, NotFound
from ...services import Services
from ..agents import visible_agents
from ..ids import is_uuid
from .ids import assistant_id_of


class AssistantNotFound(NotFound):
    """There is no assistant with this id."""

    def __init__(self, assistant_id: str) -> None:
        super().__init__(f"There is no assistant with the id {assistant_id!r}.")


def agent_of(services: Services, caller: Principal, named: str) -> str:
    """Return the agent with this assistant id or name.

    Raises AssistantNotFound for an unknown UUID, and InvalidRequest for any other text that is no agent's name.
    """
    names = visible_agents(services, caller)
    if named in names:
        return named
    for name in names:
        if named == assistant_id_of(name):
            return name
    if is_uuid(named):
        raise AssistantNotFound(named)
    raise InvalidRequest(
        f"assistant_id: expected the id of an assistant, or one of the graphs: {', '.join(names)}",
        field="assistant_id",
    )
