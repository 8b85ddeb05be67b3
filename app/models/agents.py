"""The description of an agent for its clients."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from .inputs import ShownEvent


class AgentDescription(BaseModel):
    """An agent as its clients need to know it.

    The schemas are JSON Schemas. `input_schema` describes the `input` of a message, `output_schema` its `output`.
    `context_schema` is None if the agent takes no context. `events` are the events that its runs can show. `version` is
    the version that is described, None if the process names none. `state_schema` describes the states of a graph, and
    `graph` has its nodes and edges. Both are None for an agent that is no graph. `nodes` are the names of the graph's
    nodes, empty where they are not known.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    context_schema: dict[str, Any] | None = None
    events: tuple[ShownEvent, ...] = ()
    version: str | None = None
    state_schema: dict[str, Any] | None = None
    graph: dict[str, Any] | None = None
    nodes: tuple[str, ...] = ()
