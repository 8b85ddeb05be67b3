"""Checks what an update of a state gives, and turns it into what a node of the graph would have returned."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages.utils import convert_to_messages
from langgraph.channels.base import BaseChannel
from langgraph.graph import END, START
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from ..models.thread_states import StateChange
from ..policy.agent_input import check, invalid, takes_messages
from .annotations import in_class
from .schemas import input_keys, key_schema

Graph = Pregel[Any, Any, Any, Any]


def update_of(graph: Graph, change: StateChange, field: str = "values") -> Any:
    """Return the values of an update in the classes of the state. Raises InvalidInput, which names the field.

    `field` is the name of the values in the request. Only graphs of nodes and edges declare the keys of their states.
    Values for other graphs are not checked.
    """
    _check_node(graph, change)
    values = change.values
    if values is None or not isinstance(graph, CompiledStateGraph):
        return values
    keys = _keys_of(graph, change.as_node)
    if keys == {"__root__"}:
        return values
    if not isinstance(values, Mapping):
        raise invalid(field, "expected an object with keys of the state")
    for key in values:
        if key not in keys:
            known = ", ".join(f"`{each}`" for each in sorted(keys))
            raise invalid(f"{field}.{key}", f"is unknown; known: {known}")
    return {key: _value_of(graph, key, value, field) for key, value in values.items()}


def _check_node(graph: Graph, change: StateChange) -> None:
    if change.as_node == END:
        if change.values is not None:
            raise invalid("values", f"expected null, since {END} only ends what comes next")
    elif change.as_node is not None and change.as_node not in graph.nodes:
        known = ", ".join(f"`{each}`" for each in graph.nodes)
        raise invalid("as_node", f"is unknown; nodes of the graph: {known}")


def _keys_of(graph: CompiledStateGraph[Any, Any, Any, Any], node: str | None) -> set[str]:
    """Return the keys of the state that a node may write."""
    return set(input_keys(graph) or () if node == START else graph.builder.channels)


def _value_of(graph: Graph, key: str, value: Any, field: str) -> Any:
    schema = key_schema(graph, key)
    check(schema, {key: value}, field)
    if takes_messages(schema.get("properties", {}).get(key, {})):
        given = value if isinstance(value, list) else [value]
        return [message for index, each in enumerate(given) for message in _message_of(each, f"{field}.{key}.{index}")]
    channel = graph.channels[key]
    return in_class(channel.UpdateType, value, f"{field}.{key}") if isinstance(channel, BaseChannel) else value


def _message_of(given: Any, field: str) -> list[Any]:
    try:
        return convert_to_messages([given])
    except Exception as error:  # noqa: BLE001  LangChain raises ValueError, NotImplementedError or pydantic's error
        raise invalid(field, f"cannot be read as a message: {str(error).splitlines()[0]}") from None
