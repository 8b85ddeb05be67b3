"""Checks what a message gives to its agent against the agent's description. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs

from ..errors import InvalidInput
from ..models.agents import AgentDescription
from ..models.inputs import ALL_NODES, RunInput
from ..text import escaped, scrubbed, storable_json
from .first_fault import FirstFault

MAX_REASON_LENGTH = 300

Validator = jsonschema_rs.Validator
_Kind = jsonschema_rs.ValidationErrorKind

ANY_OBJECT: dict[str, Any] = {"type": "object"}
"""The schema of an agent whose own schema is not known. It takes a text too, and only its code checks the input."""

MESSAGE = "Message"
"""The definition of a message in the schemas of descriptions."""

ROLES = ("human", "user", "ai", "assistant", "system", "developer", "tool", "function", "remove")
"""The roles that LangChain makes messages of."""

MESSAGE_SCHEMA: dict[str, Any] = {
    "title": MESSAGE,
    "description": "A text, a pair of role and content, or an object with `content` and `role` (or `type`).",
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": ["string", "array"]}, "minItems": 2, "maxItems": 2},
        {
            "type": "object",
            "properties": {
                "role": {"enum": list(ROLES)},
                "type": {"enum": list(ROLES)},
                "content": {
                    "anyOf": [
                        {"type": "string"},
                        {"type": "null"},
                        {"type": "array", "items": {"type": ["string", "object"]}},
                    ]
                },
                "id": {"type": ["string", "null"]},
            },
            "required": ["content"],
            "anyOf": [{"required": ["role"]}, {"required": ["type"]}],
        },
        {
            "type": "object",
            "properties": {"lc": {"const": 1}, "id": {"type": "array"}, "kwargs": {"type": "object"}},
            "required": ["lc", "id", "kwargs"],
        },
    ],
}
"""The forms of a message that LangGraph takes."""

_MESSAGE_REFERENCE = f"#/$defs/{MESSAGE}"


def check_input(description: AgentDescription, given: Mapping[str, Any], validator: Validator | None = None) -> None:
    """Check the `input` of a message. Raises InvalidInput with a field such as `input.question`.

    `validator` is the result of `validator_of` for the description's schema. Callers may keep it.
    """
    check(description.input_schema, given, "input", validator)


def check_context(description: AgentDescription, given: Mapping[str, Any], validator: Validator | None = None) -> None:
    """Check the `context` of a message, like `check_input`.

    Raises InvalidInput with a field such as `context.user_id`. An agent without a context schema takes only an empty
    context.
    """
    if description.context_schema is None:
        if given:
            raise invalid("context", "this agent takes no context; leave it out")
        return
    check(description.context_schema, given, "context", validator)


def check_text(description: AgentDescription) -> None:
    """Raise InvalidInput unless the agent takes a text or content blocks, the request's field `message`."""
    if not takes_text(description.input_schema):
        keys = ", ".join(f"`{name}`" for name in _properties(description.input_schema))
        hint = f" with {keys}" if keys else ""
        raise invalid("message", f"this agent takes no text; give an `input`{hint} instead")


def check_nodes(nodes: Sequence[str], given: RunInput) -> None:
    """Raise InvalidInput, which names the field, for a node that is not among the nodes of the agent's graph."""
    named = {
        "command.goto": () if given.command is None else given.command.nodes,
        "interrupt_before": given.interrupt_before,
        "interrupt_after": given.interrupt_after,
    }
    for field, names in named.items():
        for name in names:
            if name not in nodes and (field == "command.goto" or names != ALL_NODES):
                known = ", ".join(f"`{each}`" for each in nodes) or "none"
                raise invalid(field, f"node `{name}` is unknown; nodes of the agent: {known}")


OF_GRAPHS = {
    "continues": "continue",
    "command": "command",
    "interrupt_before": "interrupt_before",
    "interrupt_after": "interrupt_after",
    "checkpoint_id": "checkpoint_id",
}
"""Fields of RunInput that only graphs take, with their names in requests."""


def check_is_graph(given: RunInput) -> None:
    """Raise InvalidInput for what only graphs take. Call this for an agent that is none."""
    for name, field in OF_GRAPHS.items():
        if getattr(given, name):
            raise invalid(field, "this agent is no graph, so it has no state to begin with and no nodes")


def takes_text(schema: Mapping[str, Any]) -> bool:
    """Return whether an agent with this input schema takes a text or content blocks, the field `message`."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return any(takes_text({**each, "$defs": schema.get("$defs", {})}) for each in schema["anyOf"])
    match schema.get("type"):
        case None:
            return "properties" not in schema
        case "string":
            return True
        case "array":
            return takes_messages(schema)
        case "object":
            found = _properties(schema).get("messages")
            return _is_open(schema) if found is None else takes_messages({**found, "$defs": schema.get("$defs", {})})
    return False


def takes_messages(schema: Mapping[str, Any]) -> bool:
    """Return whether a value with this schema may be a list of LangChain messages."""
    forms = [schema, *schema.get("anyOf", ())]
    return any(form.get("type") == "array" and form.get("items") == {"$ref": _MESSAGE_REFERENCE} for form in forms)


def usable(description: AgentDescription) -> AgentDescription:
    """Return a description that can be stored, sent and checked against, whatever the agent's code declares.

    ANY_OBJECT takes the place of a schema that is no JSON Schema, or that is nested deeper than JSON may be.
    """
    context = description.context_schema
    return description.model_copy(
        update={
            "description": scrubbed(description.description),
            "input_schema": _usable(description.input_schema),
            "output_schema": _usable(description.output_schema),
            "context_schema": None if context is None else _usable(context),
            "state_schema": None if description.state_schema is None else _usable(description.state_schema),
            "graph": None if description.graph is None else storable_json(description.graph),
        }
    )


def _usable(schema: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = storable_json(schema)
    try:
        jsonschema_rs.validator_for(shown)
    except Exception:  # noqa: BLE001  errors of the schema, of its references and of its patterns have no common class
        return dict(ANY_OBJECT)
    return shown


def validator_of(schema: Mapping[str, Any]) -> Validator:
    """Return the compiled validator of a schema, which callers may keep and give to `check`."""
    return jsonschema_rs.validator_for(closed(schema))


def check(schema: Mapping[str, Any], given: object, name: str, validator: Validator | None = None) -> None:
    """Check a value against a JSON Schema. Raises InvalidInput with a field that begins with `name`.

    Unknown keys of the outermost object are refused unless the schema allows additional properties.
    """
    validator = validator or validator_of(schema)
    if validator.is_valid(given):
        return
    fault = FirstFault(given, validator.is_valid)
    try:
        validator.validate(fault.value)
    except jsonschema_rs.ValidationError as error:
        raise invalid(*_field_and_reason(error, name, schema, fault)) from None


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema, changed to refuse unknown keys of its outermost object.

    The schema stays as it is if it has no `properties`, or sets `additionalProperties`. Its outermost `$ref` is
    resolved.
    """
    found = resolved(schema)
    is_loose = "properties" in found and "additionalProperties" not in found
    return {**found, "additionalProperties": False} if is_loose else found


def resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition to which the schema's outermost `$ref` refers; otherwise the schema itself."""
    reference = schema.get("$ref")
    definitions = schema.get("$defs", {})
    found = definitions.get(reference.removeprefix("#/$defs/")) if isinstance(reference, str) else None
    if found is None:
        return dict(schema)
    return {**found, "$defs": definitions}


def _field_and_reason(
    error: jsonschema_rs.ValidationError, name: str, schema: Mapping[str, Any], fault: FirstFault
) -> tuple[str, str]:
    """Return the field that a validation error is about, and the reason, as callers see them.

    The field begins with `name`. The known keys in the reason are those of `schema`.
    """
    error = _innermost(error)
    path: Sequence[str | int] = fault.place_of(error.instance_path)
    match error.kind:
        case _Kind.Required(property=missing):
            return _field(name, [*path, missing]), "is missing"
        case _Kind.AdditionalProperties(unexpected=unexpected):
            known = "" if path else ", ".join(f"`{each}`" for each in _properties(schema))
            return _field(name, [*path, unexpected[0]]), f"is unknown; known: {known}" if known else "is unknown"
        case _Kind.AnyOf() if _is_of_messages(path):
            return _field(name, path), "expected a text, a pair of role and content, or an object with both"
    return _field(name, path), error.message


def _innermost(error: jsonschema_rs.ValidationError) -> jsonschema_rs.ValidationError:
    """Return the error inside the alternative (`anyOf`, `oneOf`) that fits best; `error` if none fits in part."""
    while isinstance(error.kind, _Kind.AnyOf | _Kind.OneOfNotValid):
        fitting = [each[0] for each in error.kind.context if each and not any(map(_is_of_another, each))]
        best = max(fitting, key=lambda each: len(each.instance_path), default=error)
        if len(fitting) != 1 and len(best.instance_path) <= len(error.instance_path):
            break
        error = best
    return error


def _is_of_another(error: jsonschema_rs.ValidationError) -> bool:
    """Return whether a constant, such as the `kind` of a pet, says that another alternative is meant."""
    return isinstance(error.kind, _Kind.Constant)


def _is_of_messages(path: Sequence[str | int]) -> bool:
    return len(path) >= 1 and "messages" in (path[-1], path[-2] if len(path) > 1 else None)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = resolved(schema).get("properties", {})
    return found


def _is_open(schema: Mapping[str, Any]) -> bool:
    return "properties" not in schema and schema.get("additionalProperties") is not False


def _field(name: str, path: Sequence[str | int]) -> str:
    return escaped(".".join([name, *map(str, path)]))


def invalid(field: str, reason: str) -> InvalidInput:
    """Return an InvalidInput for a field that does not fit, with at most MAX_REASON_LENGTH characters of the reason."""
    shown = reason if len(reason) <= MAX_REASON_LENGTH else f"{reason[:MAX_REASON_LENGTH]}…"
    return InvalidInput(f"{field}: {escaped(shown).removesuffix('.')}.", field=field)
