"""Gives agents the tools and the context of pages, in the keys of the state where they look for them. Pure."""

from collections.abc import Mapping
from typing import Any

from ...models.agents import AgentDescription
from ...policy.agent_input import resolved
from .schemas import AgentRun

AG_UI, COPILOT_KIT, TOOLS = "ag-ui", "copilotkit", "tools"

PAGE_KEYS = frozenset({AG_UI, COPILOT_KIT})
"""Keys of states that only pages fill. They are no state that a page shows."""


def page_values(agent: AgentDescription | None, body: AgentRun) -> dict[str, Any]:
    """Return the tools and the context of a page, by the keys that the agent's input declares.

    An empty list takes the place of what an earlier page gave. The key `tools` may be the agent's own, so it is only
    set for a page that has tools.
    """
    schema = {} if agent is None else resolved(agent.input_schema)
    declared: Mapping[str, Any] = schema.get("properties", {})
    tools = [each.model_dump(mode="json", exclude_none=True) for each in body.tools or ()]
    context = [each.model_dump(mode="json") for each in body.context or ()]
    values: dict[str, dict[str, Any]] = {
        AG_UI: {"tools": tools, "context": context},
        COPILOT_KIT: {"actions": tools, "context": context},
    }
    given = {"tools": tools, "actions": tools, "context": context}
    found: dict[str, Any] = {
        name: {**{each: given.get(each) for each in _required(schema, declared[name])}, **value}
        for name, value in values.items()
        if name in declared
    }
    return {**found, TOOLS: tools} if tools and _takes_lists(declared.get(TOOLS)) else found


def takes_tools(agent: AgentDescription | None) -> bool:
    """Return whether an agent is given the tools of pages."""
    declared = {} if agent is None else resolved(agent.input_schema).get("properties", {})
    return bool(PAGE_KEYS & declared.keys()) or _takes_lists(declared.get(TOOLS))


def ignored_fields(values: Mapping[str, Any], body: AgentRun) -> list[str]:
    """Return the fields of a request that the agent is not given with `values`, which `page_values` returned."""
    has_context = bool(PAGE_KEYS & values.keys())
    given = {"tools": (body.tools, bool(values)), "context": (body.context, has_context)}
    return [name for name, (sent, is_taken) in given.items() if sent and not is_taken]


def _required(schema: Mapping[str, Any], declared: Mapping[str, Any]) -> list[str]:
    """Return the keys that a value must have. CopilotKit's middleware declares the same ones for both values."""
    found: list[str] = resolved({**declared, "$defs": schema.get("$defs", {})}).get("required", [])
    return found


def _takes_lists(declared: Mapping[str, Any] | None) -> bool:
    return declared is not None and declared.get("type") == "array"
