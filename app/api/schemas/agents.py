"""Replies about agents."""

from typing import Any

from pydantic import BaseModel, Field

from ...agents.descriptions import KnownAgent
from ...models.inputs import ShownEvent
from ...models.workers import AgentState, ServedAgent, Worker
from .examples import example

AGENT_EXAMPLE: dict[str, Any] = {
    "name": "tickets",
    "is_default": True,
    "description": "Routes tickets.",
    "input_schema": {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False},
    "output_schema": {"type": "object", "properties": {"owner": {"type": "string"}}},
    "context_schema": None,
    "state_schema": {"type": "object", "properties": {"title": {"type": "string"}, "owner": {"type": "string"}}},
    "graph": {
        "nodes": [
            {"id": "__start__"},
            {"id": "route", "type": "runnable", "data": {"name": "route"}},
            {"id": "__end__"},
        ],
        "edges": [{"source": "__start__", "target": "route"}, {"source": "route", "target": "__end__"}],
    },
    "events": ["custom", "node", "values", "updates", "messages", "tasks", "checkpoints", "debug"],
    "nodes": ["route", "assign"],
    "takes_text": False,
    "version": "v2",
    "workers": {"loading": 0, "available": 2, "failed": 0, "stuck": 0},
    "versions": [
        {"version": "v2", "workers": {"loading": 0, "available": 1, "failed": 0, "stuck": 0}},
        {"version": "v1", "workers": {"loading": 0, "available": 1, "failed": 0, "stuck": 0}},
    ],
    "error": None,
}


class LiveWorkers(BaseModel):
    """The live workers that are configured to run an agent, counted by the agent's state there."""

    loading: int = 0
    available: int = 0
    failed: int = 0
    stuck: int = 0

    @classmethod
    def of(cls, served: list[ServedAgent]) -> "LiveWorkers":
        """Return the counts of workers, each given as its agent."""
        return cls(**{state.value: sum(agent.state is state for agent in served) for state in AgentState})


class LiveVersion(BaseModel):
    """A version of an agent, and the live workers that have it. `version` is null for workers that name none."""

    version: str | None
    workers: LiveWorkers


class AgentView(BaseModel):
    """An agent that messages can name.

    The schemas are JSON Schemas. Until a worker has loaded the agent, the schemas, `graph`, `takes_text` and
    `description` are null. `context_schema` is also null if the agent takes no context.
    """

    model_config = example(**AGENT_EXAMPLE)

    name: str
    is_default: bool = Field(description="Whether messages that name no agent go to it.")
    description: str | None
    input_schema: dict[str, Any] | None = Field(description="The `input` of a message.")
    output_schema: dict[str, Any] | None = Field(description="The `output` of a message.")
    context_schema: dict[str, Any] | None = Field(description="The `context` of a message.")
    state_schema: dict[str, Any] | None = Field(description="The values of a state. Null if the agent is no graph.")
    graph: dict[str, Any] | None = Field(
        description="The nodes and edges of the graph, in LangGraph's form. Null if the agent is no graph."
    )
    events: tuple[ShownEvent, ...] = Field(description="The `events` that a message can ask for.")
    nodes: tuple[str, ...] = Field(description="The nodes of its graph. Empty where they are not known.")
    takes_text: bool | None = Field(description="Whether a message can have a `message` instead of an `input`.")
    version: str | None = Field(description="The version that the schemas are of. Null if its process names none.")
    workers: LiveWorkers
    versions: list[LiveVersion] = Field(
        description="The versions of the live workers. The version whose first worker started last comes first."
    )
    error: str | None = Field(description="Why a live worker cannot run it, without secrets.")

    @classmethod
    def of(cls, name: str, known: KnownAgent | None, workers: list[Worker], *, is_default: bool) -> "AgentView":
        """Return the reply for an agent. `known` has its description, None before any worker has loaded the agent."""
        served = [agent for worker in workers for agent in worker.agents or () if agent.name == name]
        described = None if known is None else known.description
        return cls(
            name=name,
            is_default=is_default,
            description=None if described is None else described.description,
            input_schema=None if described is None else described.input_schema,
            output_schema=None if described is None else described.output_schema,
            context_schema=None if described is None else described.context_schema,
            state_schema=None if described is None else described.state_schema,
            graph=None if described is None else described.graph,
            events=() if described is None else described.events,
            nodes=() if described is None else described.nodes,
            takes_text=None if known is None else known.takes_text,
            version=None if described is None else described.version,
            workers=LiveWorkers.of(served),
            versions=[
                LiveVersion(version=version, workers=LiveWorkers.of(its_agents))
                for version, its_agents in _by_version(name, workers)
            ],
            error=next((agent.error for agent in served if agent.error is not None), None),
        )


def _by_version(name: str, workers: list[Worker]) -> list[tuple[str | None, list[ServedAgent]]]:
    """Return the versions of an agent with the agent as each worker lists it, the newest version first."""
    found: dict[str | None, list[ServedAgent]] = {}
    for worker in sorted(workers, key=lambda each: each.started_at):
        for agent in worker.agents or ():
            if agent.name == name:
                found.setdefault(agent.version, []).append(agent)
    return list(found.items())[::-1]


class AgentList(BaseModel):
    """The agents of this server, the default one first."""

    model_config = example(agents=[AGENT_EXAMPLE])

    agents: list[AgentView]
