"""Rewrites Pydantic's errors for callers: the field and what it expects, without the value that was sent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .schemas.blocks import BLOCKS, FORMS
from .schemas.problems import ProblemError

PLACES = ("body", "query", "path", "header")
"""The parts that FastAPI puts in front of a field's name."""

LIST_OF_TYPES = "list[tagged-union["
"""The beginning of the name by which Pydantic calls one choice of a union: a list of objects with types."""


def field_error(error: Mapping[str, Any], model: object = None) -> ProblemError:
    """Return an error of Pydantic as an entry of a problem. `model` is the body's model, None without a body."""
    field = _field(error["loc"])
    if error.get("type", "").startswith("union_tag") and BLOCKS in error["loc"]:
        field += ".type"
    return ProblemError(field=field, detail=detail_of(error, model))


def detail_of(error: Mapping[str, Any], model: object = None) -> str:
    """Return what is wrong with a field, without the field's name."""
    given = error.get("ctx", {})
    match error.get("type"):
        case "extra_forbidden" if known := known_fields(model, error["loc"]):
            return f"unknown field. Known here: {', '.join(known)}."
        case "union_tag_invalid":
            return f"expected one of {given['expected_tags'].replace(chr(39), '')}"
        case "union_tag_not_found":
            return "Field required"
        case "too_short":
            return f"expected at least {_counted(given['min_length'], given)}, got {given['actual_length']}"
        case "too_long" if given["actual_length"] is not None:
            return f"expected at most {_counted(given['max_length'], given)}, got {given['actual_length']}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def known_fields(model: object, location: Sequence[int | str]) -> list[str]:
    """Return the fields of the object that contains the field at `location`, in the order of the model."""
    models = list(_models_in(model))
    for before, name in zip((None, *location), location[:-1], strict=False):
        if isinstance(name, int) or name in FORMS:  # a number is the index of a list entry
            continue
        if isinstance(before, int) and (tagged := [each for each in models if _is_tagged(each, name)]):
            models = tagged
        else:
            fields = [found for each in models if (found := _fields_of(each).get(name)) is not None]
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return list(dict.fromkeys(name for each in models for name in _fields_of(each)))


def _fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by their names in JSON."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_tagged(model: type[BaseModel], tag: str) -> bool:
    """Return whether `tag` is the only value that the model's field `type` can have."""
    kind = model.model_fields.get("type")
    return kind is not None and get_args(kind.annotation) == (tag,)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models_in(each)


def _counted(number: int, given: Mapping[str, Any]) -> str:
    """Return `number` with its unit: characters of a text, or entries of a list.

    `given` is the context of Pydantic's error. Its `field_type` is `Value` for a text that another validator saw first.
    """
    one, many = ("character", "characters") if given["field_type"] == "Value" else ("entry", "entries")
    return f"{number} {one if number == 1 else many}"


def _field(location: Sequence[int | str]) -> str:
    if BLOCKS in location:  # the form of the message, the index of the block, the type of the block
        form = location.index(BLOCKS)
        location = [*location[:form], *location[form + 1 : form + 2], *location[form + 3 :]]
    in_query = len(location) > 1 and location[0] == "query"
    if len(location) > 1 and location[0] in PLACES:  # alone, it is the name of a field
        location = location[1:]
    parts = [str(part) for part in location if part not in FORMS and not str(part).startswith(LIST_OF_TYPES)]
    if parts[-1:] == ["[key]"]:
        parts.pop()
    if in_query:  # Pydantic adds the index of a repeated parameter
        parts = parts[:1]
    return ".".join(parts) or "body"
