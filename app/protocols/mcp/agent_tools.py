"""A tool for each agent: it gives the agent its input and waits for the answer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from ...access.scopes import AccessScope
from ...errors import AliasTaken, Conflict
from ...models.messages import Priority
from ...models.types import JsonObject, Text, ThreadId
from ..agents import visible_agents
from .exchanges import Exchange
from .tools import ANSWER_FIRST, Arguments, Tool, new_message, submitted
from .views import MessageView
from .waits import place_to_wait, settled

PREFIX = "run_"
MAX_NAME_LENGTH = 64
"""Clients hand the names to models, some of which take no longer ones."""

_ODD = re.compile(r"[^A-Za-z0-9_-]")


class RequestIdUsed(Conflict):
    """The client gave the id of this request to an earlier one."""

    code = AliasTaken.code

    def __init__(self) -> None:
        super().__init__(
            "An earlier request of this session has the same id. Nothing was stored; send each request with an id of "
            "its own."
        )


class RunArguments(Arguments):
    """The arguments of a tool that runs an agent."""

    message: Text | None = Field(None, description="What to say to the agent.")
    input: JsonObject | None = Field(None, description="The input of the agent.")
    thread_id: ThreadId | None = Field(
        None, description="The conversation. A new id begins one, which the agent then remembers. By default none."
    )
    priority: Priority | None = Field(None, description="More urgent messages begin first. By default normal.")

    @field_validator("input")
    @classmethod
    def _in_place_of_a_message(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("message") is not None:
            raise ValueError("give either message or input")
        return value


def tool_names(agents: Sequence[str]) -> dict[str, str]:
    """Return the agents by the names of their tools. Names of tools have no other characters than most clients take."""
    found: dict[str, str] = {}
    for agent in agents:
        name = PREFIX + _ODD.sub("_", agent)[: MAX_NAME_LENGTH - len(PREFIX) - 4]
        number = 1
        while (free := name if number == 1 else f"{name}_{number}") in found:
            number += 1
        found[free] = agent
    return found


class AgentTool(NamedTuple):
    """The tool of an agent, and the schema of its arguments."""

    tool: Tool
    schema: dict[str, Any]


async def agent_tools(exchange: Exchange) -> dict[str, AgentTool]:
    """Return the tools of the agents that the caller may use, by their names."""
    services = exchange.services
    visible = visible_agents(services, exchange.caller)
    found = {}
    for name, agent in tool_names(services.registry.names).items():
        if agent in visible:
            known = await services.descriptions.get(agent)
            if known is None:
                found[name] = AgentTool(_tool(agent), _common_schema())
            else:
                schema = arguments_schema(known.description.input_schema, takes_text=known.takes_text)
                found[name] = AgentTool(_tool(agent, known.description.description), schema)
    return found


def agent_tool(exchange: Exchange, name: str) -> Tool | None:
    """Return the tool with this name; None if no agent that the caller may use has it."""
    services = exchange.services
    agent = tool_names(services.registry.names).get(name)
    return _tool(agent) if agent is not None and agent in visible_agents(services, exchange.caller) else None


def _tool(agent: str, about: str | None = None) -> Tool:
    """Return the tool of an agent. `about` is the agent's own description."""

    async def run(exchange: Exchange, given: RunArguments) -> MessageView:
        fields = {name: getattr(given, name) for name in ("message", "input", "thread_id", "priority")}
        new = new_message(exchange, agent=agent, **fields)
        if exchange.alias is not None:
            new = new._replace(aliases=(exchange.alias,))
        async with place_to_wait(exchange):
            try:
                exchange.run = await submitted(exchange, new)
            except AliasTaken:
                raise RequestIdUsed from None
            return MessageView.of(await settled(exchange, exchange.run.message))

    told = (
        f"Run the agent {agent} and wait for its answer. A cancel of this call cancels the run. A message for a "
        f"conversation with an open question cancels that question: {ANSWER_FIRST}"
    )
    told = f"{(about or '').strip()} {told}".lstrip()
    return Tool(f"Run {agent}", told, AccessScope.SUBMIT, RunArguments, MessageView, run)


def arguments_schema(input_schema: Mapping[str, Any], *, takes_text: bool) -> dict[str, Any]:
    """Return the schema of the arguments for an agent with this input. It takes `message`, `input`, or one of both."""
    schema = _common_schema()
    fields: dict[str, Any] = schema["properties"]
    own = dict(input_schema)
    if not takes_text:
        del fields["message"]
        schema["required"] = ["input"]
    elif not set(own.get("properties", {})) - {"messages"}:
        del fields["input"]
        schema["required"] = ["message"]
    if "message" in fields:
        fields["message"] = {"type": "string", "description": fields["message"]["description"]}
    if "input" in fields:
        schema["$defs"] = own.pop("$defs", {})
        fields["input"] = {"description": fields["input"]["description"], **own}
    return schema


def _common_schema() -> dict[str, Any]:
    """Return the schema of the arguments for any agent, without definitions, whose names could be those of an agent."""
    schema = RunArguments.model_json_schema()
    del schema["$defs"], schema["description"]
    priority = schema["properties"]["priority"]
    priority["anyOf"] = [{"type": "string", "enum": [each.value for each in Priority]}, {"type": "null"}]
    return schema
