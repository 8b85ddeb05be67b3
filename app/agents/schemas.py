"""Describes graphs: what they take, what they return, and the context they read. See docs/reference/graphs.md."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, get_args

import jsonschema_rs
from langchain_core.messages import AnyMessage, BaseMessage
from langgraph.channels.base import BaseChannel
from langgraph.graph import START
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from pydantic import AliasChoices, BaseModel, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema
from typing_extensions import is_typeddict, override

from ..models.agents import AgentDescription
from ..models.inputs import ShownEvent
from ..policy.agent_input import ANY_OBJECT, MESSAGE, MESSAGE_SCHEMA, closed, resolved, takes_messages
from .annotations import docstring_of, readable

Graph = Pregel[Any, Any, Any, Any]
Schema = dict[str, Any]


def _classes_in(annotation: Any) -> Iterator[str]:
    """Yield the names of the classes of an annotation."""
    if isinstance(annotation, type):
        yield annotation.__name__
    for inner in get_args(annotation):
        yield from _classes_in(inner)


_MESSAGES = frozenset((BaseMessage.__name__, *_classes_in(AnyMessage)))
_REFERENCES = frozenset(f"#/$defs/{name}" for name in _MESSAGES)
_MESSAGE = {"$ref": f"#/$defs/{MESSAGE}"}


class _BriefMessages(GenerateJsonSchema):
    """Makes JSON Schemas without the fields of LangChain's messages, which `_with_messages` replaces.

    To make these fields takes most of the time in which an agent is loaded.
    """

    @override
    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        name = schema["cls"].__name__
        if name in _MESSAGES and issubclass(schema["cls"], BaseMessage):
            return {"title": name, "type": "object", "properties": {"additional_kwargs": {}}}
        return super().model_schema(schema)


def describe_graph(graph: Graph, name: str, description: str = "") -> AgentDescription:
    """Return a graph's description, with ANY_OBJECT in place of a schema that cannot be made."""
    declared = graph.context_schema
    context = (
        None
        if declared is None
        else _schema(lambda: graph.get_context_jsonschema() or ANY_OBJECT, lambda: _of_class(declared))
    )
    return AgentDescription(
        name=name,
        description=description or docstring_of_graph(graph),
        input_schema=input_schema(graph),
        output_schema=_output_schema(graph),
        context_schema=None if context is None else closed(context),
        events=tuple(ShownEvent),
        state_schema=_state_schema(graph),
        graph=_drawing(graph),
        nodes=tuple(name for name in graph.nodes if name != START),
    )


def input_schema(graph: Graph) -> Schema:
    """Return the JSON Schema of a graph's input, with messages in each form that LangGraph takes."""
    keys = input_keys(graph)
    schema = _schema(
        *_of_declared(graph, "input_schema"),
        graph.get_input_jsonschema,
        lambda: _of_class(graph.InputType) if keys is None else _of_channels(graph, keys, _required_keys(graph)),
    )
    if isinstance(graph, CompiledStateGraph):
        schema = _without_managed(graph, _by_field_names(schema, graph.builder.input_schema))
        if _takes_some_keys(graph):
            schema.pop("required", None)
    return _with_single_messages(schema)


def key_schema(graph: Graph, key: str) -> Schema:
    """Return the JSON Schema of an object with one key of a graph's state, with messages as in `input_schema`."""
    return _with_single_messages(_schema(lambda: _of_channels(graph, [key])))


def _with_single_messages(schema: Schema) -> Schema:
    """Return a schema in which a key that takes a list of messages also takes one message. Refuse unknown keys."""
    properties = schema.get("properties", {})
    for name, found in properties.items():
        if takes_messages(found):
            properties[name] = {"title": found.get("title", name), "anyOf": [_without_title(found), _MESSAGE]}
    return closed(schema)


def _output_schema(graph: Graph) -> Schema:
    if isinstance(graph.output_channels, str):
        return _schema(graph.get_output_jsonschema, lambda: _of_class(graph.OutputType))
    schema = _schema(
        *_of_declared(graph, "output_schema"),
        graph.get_output_jsonschema,
        lambda: _of_channels(graph, graph.output_channels),
    )
    if isinstance(graph, CompiledStateGraph):
        return _without_managed(graph, _by_field_names(schema, graph.builder.output_schema))
    return schema


def _state_schema(graph: Graph) -> Schema:
    """Return the JSON Schema of the values that a graph's states have."""
    return _schema(lambda: _of_channels(graph, graph.stream_channels_asis))


def _drawing(graph: Graph) -> dict[str, Any] | None:
    """Return the nodes and edges of a graph in LangGraph's form, without the classes of the nodes.

    Return None if the graph cannot be drawn.
    """
    try:
        drawn: dict[str, Any] = graph.get_graph().to_json()
        for node in drawn["nodes"]:
            if "data" in node:
                node["data"] = {"name": node["data"].get("name", node["id"])}
    except Exception:  # noqa: BLE001  a user's nodes may raise anything
        return None
    return drawn


def _without_managed(graph: CompiledStateGraph[Any, Any, Any, Any], schema: Schema) -> Schema:
    """Return a schema without values that LangGraph itself sets at each step, such as `RemainingSteps`."""
    managed = graph.builder.managed
    if "properties" not in schema:
        return schema
    kept = {key: value for key, value in schema["properties"].items() if key not in managed}
    required = [key for key in schema.get("required", ()) if key not in managed]
    return {**schema, "properties": kept, **({"required": required} if "required" in schema else {})}


def docstring_of_graph(graph: Graph) -> str:
    """Return the docstring of a graph object, or of the function of an `@entrypoint`."""
    if own := docstring_of(graph):
        return own
    if isinstance(graph, CompiledStateGraph) or len(graph.nodes) != 1:
        return ""
    (node,) = graph.nodes.values()
    bound = node.bound
    return docstring_of(getattr(bound, "func", None) or getattr(bound, "afunc", None))


def input_keys(graph: Graph) -> frozenset[str] | None:
    """Return the keys of a graph's input; None if the input is one value, as in an `@entrypoint`."""
    if isinstance(graph, CompiledStateGraph):
        return frozenset(graph.builder.schemas[graph.builder.input_schema]) - graph.builder.managed.keys()
    return None if isinstance(graph.input_channels, str) else frozenset(graph.input_channels)


def _takes_some_keys(graph: CompiledStateGraph[Any, Any, Any, Any]) -> bool:
    """Return whether an input may leave out keys.

    It may if the state is a TypedDict without a separate input schema: nodes then write most keys.
    """
    builder = graph.builder
    return is_typeddict(builder.input_schema) and builder.input_schema is builder.state_schema


def _schema(*makers: Callable[[], JsonSchemaValue]) -> Schema:
    """Return the first usable schema from `makers`, changed by `_with_messages`; ANY_OBJECT if there is none."""
    for make in makers:
        try:
            schema = _pruned(resolved(_with_messages(make())))
            jsonschema_rs.validator_for(schema)
        except Exception:  # noqa: BLE001, S112  a user's types may raise anything, or have no schema
            continue
        return schema
    return dict(ANY_OBJECT)


def _required_keys(graph: Graph) -> frozenset[str]:
    """Return the keys that the class of a graph's input requires, if it is a TypedDict."""
    kind = graph.builder.input_schema if isinstance(graph, CompiledStateGraph) else None
    return getattr(kind, "__required_keys__", frozenset()) if is_typeddict(kind) else frozenset()


def _of_declared(graph: Graph, which: str) -> Iterator[Callable[[], JsonSchemaValue]]:
    """Yield what makes the schema that LangGraph makes of a declared class, if the class alone decides about it."""
    kind: Any = getattr(graph.builder, which) if type(graph) is CompiledStateGraph else None
    if is_typeddict(kind):
        yield lambda: json.loads(_text_of_class(kind))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield lambda: kind.model_json_schema(schema_generator=_BriefMessages)


@lru_cache(maxsize=64)
def _text_of_class(kind: Any) -> str:
    """Return the JSON Schema of a class as text. Many graphs share the class of their state, and callers change it."""
    return json.dumps(TypeAdapter(kind).json_schema(schema_generator=_BriefMessages))


def _of_class(kind: Any) -> JsonSchemaValue:
    return TypeAdapter(readable(kind)).json_schema(schema_generator=_BriefMessages)


def _by_field_names(schema: Schema, state: Any) -> Schema:
    """Return the schema of a state with the names of its fields in place of pydantic's aliases.

    LangGraph names the keys of a state by its fields. Inside of a value, aliases stay.
    """
    if not (isinstance(state, type) and issubclass(state, BaseModel)) or "properties" not in schema:
        return schema
    names = {alias: name for name, field in state.model_fields.items() for alias in _aliases_of(field)}
    properties = {names.get(key, key): value for key, value in schema["properties"].items()}
    renamed = {**schema, "properties": properties}
    if "required" in schema:
        renamed["required"] = [names.get(key, key) for key in schema["required"]]
    return renamed


def _aliases_of(field: FieldInfo) -> Iterator[str]:
    for alias in (field.validation_alias, field.serialization_alias, field.alias):
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        yield from (each for each in choices if isinstance(each, str))


def _of_channels(graph: Graph, names: str | Iterable[str], required: frozenset[str] = frozenset()) -> JsonSchemaValue:
    """Return a JSON Schema of the state's keys `names`, made from the types of the graph's channels.

    Pydantic cannot make one for some classes, such as `typing.TypedDict` before Python 3.12. Keys in `required` must be
    given.
    """
    channels = {name: graph.channels[name] for name in ([names] if isinstance(names, str) else names)}
    fields: dict[str, Any] = {
        name: (channel.UpdateType, ... if name in required else None)
        for name, channel in channels.items()
        if isinstance(channel, BaseChannel)
    }
    state: type[BaseModel] = create_model("State", **fields)
    return state.model_json_schema(schema_generator=_BriefMessages)


def _with_messages(schema: Any) -> Any:
    """Return a schema in which LangChain's messages have the forms that LangGraph takes."""
    if isinstance(schema, list):
        return [_with_messages(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference, title = schema.get("$ref"), schema.get("title")  # of a list of properties, these may be properties
    if (isinstance(reference, str) and reference in _REFERENCES) or _is_any_message(schema):
        return dict(_MESSAGE)
    if isinstance(title, str) and title in _MESSAGES and "additional_kwargs" in schema.get("properties", {}):
        return MESSAGE_SCHEMA
    changed = {key: _with_messages(value) for key, value in schema.items()}
    if "$defs" in changed:
        changed["$defs"][MESSAGE] = MESSAGE_SCHEMA
    return changed


def _is_any_message(schema: Mapping[str, Any]) -> bool:
    each = schema.get("oneOf") or schema.get("anyOf")
    return isinstance(each, list) and all(isinstance(one, dict) and one.get("$ref") in _REFERENCES for one in each)


def _pruned(schema: Schema) -> Schema:
    """Return a schema without the definitions that it does not use."""
    rest = {key: value for key, value in schema.items() if key != "$defs"}
    definitions = dict(_used(rest, schema.get("$defs", {})))
    return {**rest, "$defs": definitions} if definitions else rest


def _used(schema: Schema, definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the definitions that a schema needs."""
    waiting: list[Any] = [schema]
    seen: set[str] = set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting += found
        elif isinstance(found, dict):
            waiting += found.values()
            name = str(found.get("$ref", "")).removeprefix("#/$defs/")
            if name in definitions and name not in seen:
                seen.add(name)
                yield name, definitions[name]
                waiting.append(definitions[name])


def _without_title(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "title"}
