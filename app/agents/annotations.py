"""Reads the annotations by which code says what it takes and returns. Needs no LangGraph."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, NotRequired, Required, Union, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict, get_type_hints, is_typeddict

from ..policy.agent_input import ANY_OBJECT, invalid

MAX_DESCRIPTION_LENGTH = 2_000


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature, with annotations that are text evaluated if possible."""
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # noqa: BLE001  names imported for type checkers only
        return inspect.signature(function)


def docstring_of(thing: object) -> str:
    """Return the docstring that a user wrote for a function or an object, shortened; empty if there is none."""
    written = getattr(thing, "__dict__", {}).get("__doc__") if not inspect.isroutine(thing) else thing.__doc__
    return inspect.cleandoc(written)[:MAX_DESCRIPTION_LENGTH] if isinstance(written, str) else ""


def is_object(annotation: Any) -> bool:
    """Return whether an annotation names a JSON object: a dict, a TypedDict, a model or a data class."""
    if getattr(annotation, "__name__", "") == "RunnableConfig":  # a TypedDict that factories take
        return False
    if get_origin(annotation) in (dict, Mapping) or annotation in (dict, Mapping) or is_typeddict(annotation):
        return True
    is_class = isinstance(annotation, type) and not hasattr(annotation, "astream")
    return is_class and (issubclass(annotation, BaseModel) or is_dataclass(annotation))


def is_list(annotation: Any) -> bool:
    """Return whether an annotation names a list."""
    return annotation in (list, Sequence) or get_origin(annotation) in (list, Sequence)


def is_answer(annotation: Any) -> bool:
    """Return whether an annotation names only answers: texts, objects and lists."""
    if get_origin(annotation) in (Union, UnionType):
        return all(each is not NoneType and is_answer(each) for each in get_args(annotation))
    return annotation in (str, "str", "dict", "list") or is_object(annotation) or is_list(annotation)


def readable(annotation: Any) -> Any:
    """Return the annotation in a form that pydantic reads: before Python 3.12 it refuses `typing.TypedDict`."""
    if not is_typeddict(annotation) or type(annotation).__module__ != "typing":
        return annotation
    marks: tuple[Any, Any] = (NotRequired, Required)
    make: Any = TypedDict
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(annotation, include_extras=True).items():
        is_marked = get_origin(hint) in marks
        fields[name] = hint if is_marked else marks[name in annotation.__required_keys__][hint]
    found = make(annotation.__name__, fields)
    found.__doc__ = annotation.__doc__
    return found


def schema_of(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of an annotation; ANY_OBJECT if there is none."""
    try:
        return TypeAdapter(readable(annotation)).json_schema()
    except Exception:  # noqa: BLE001  a user's types may raise anything
        return dict(ANY_OBJECT)


def in_class(kind: Any, given: Any, name: str) -> Any:
    """Return the JSON value `given` as an instance of the class `kind`, which user code declares.

    Raises InvalidInput, which names the wrong field; its path begins with `name`. If pydantic cannot handle the class,
    return `given` unchanged.
    """
    try:
        return TypeAdapter(readable(kind)).validate_python(given)
    except ValidationError as error:
        first, *_ = error.errors(include_url=False, include_context=False, include_input=False)
        field = ".".join([name, *(str(part) for part in first["loc"])])
        raise invalid(field, first["msg"][:1].lower() + first["msg"][1:]) from None
    except PydanticUserError:
        return given
