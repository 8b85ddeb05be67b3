"""Encodes values of the agents' memory as msgpack, in the format of LangGraph's serializer. See docs/adr/0035."""

import dataclasses
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Send
from pydantic import BaseModel, RootModel

from ..errors import StateNotStorable
from ..policy.failures import described
from ..text import scrubbed, without_surrogates
from .plain_data import PlainData, bare

MAX_ERROR_LENGTH = 2_000
MIN_INT, MAX_INT = -(2**63), 2**64 - 1
"""The range of msgpack's integers."""

MAX_DEPTH = 200

OPTIONS = jsonplus._option & ~ormsgpack.OPT_REPLACE_SURROGATES | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
"""LangGraph's options with two changes: refuse text that UTF-8 cannot encode, and keep the class of a subclass."""

EXT_SINGLE = jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG
EXT_ARGS = jsonplus.EXT_CONSTRUCTOR_POS_ARGS
EXT_FIELDS = jsonplus.EXT_CONSTRUCTOR_KW_ARGS
EXT_MODEL = jsonplus.EXT_PYDANTIC_V2

FIELDS_OF_TIME = ("year", "month", "day", "hour", "minute", "second", "microsecond", "fold")
"""The fields of a time without a zone. Its text, which LangGraph stores, lacks `fold`."""

LANGCHAIN_MESSAGES = "langchain_core.messages."

ANYTHING = (Any, dict, list, dict[str, Any], dict[Any, Any], list[Any])
"""Types of fields that may hold objects of any class."""


class PortableEncoder:
    """Converts values to a form that msgpack can encode. Raises StateNotStorable with the place of the faulty part.

    It accepts large integers, keys of any type and lone surrogates. It is slow, and is therefore used only for values
    that LangGraph's encoder refuses.
    """

    def __init__(self) -> None:
        self._around: list[int] = []

    def of(self, value: Any, place: str) -> Any:
        """Return the value in a form that msgpack can encode. `place` names it in errors, such as `plan.steps[2]`."""
        if type(value) is str:
            return without_surrogates(value)
        if issubclass(type(value), BaseException):  # `isinstance` would call its `__class__`
            return _error_text(value)
        if id(value) in self._around:
            raise StateNotStorable(place, "refers back to itself")
        if len(self._around) > MAX_DEPTH:
            raise StateNotStorable(place, "is nested too deeply")
        self._around.append(id(value))
        try:
            if isinstance(value, PlainData):
                code, module, name, method = value.origin
                return _extension(code, module, name, self.of(bare(value), place), *method)
            return self._portable(value, place)
        except StateNotStorable:
            raise
        except RecursionError:
            raise StateNotStorable(place, "is nested too deeply") from None
        except Exception as error:
            raise StateNotStorable(place, f"is a {type(value).__module__}:{type(value).__qualname__}") from error
        finally:
            self._around.pop()

    def _portable(self, value: Any, place: str) -> Any:
        named = (type(value).__module__, type(value).__name__)
        portable: Any
        match value:
            case Enum():
                portable = _extension(EXT_SINGLE, *named, self.of(value.value, place))
            case int() if not MIN_INT <= value <= MAX_INT:
                portable = _extension(EXT_ARGS, "builtins", "int", (hex(value), 16))
            case str():
                portable = without_surrogates(value)
            case dict():
                portable = self._mapping(value, place)
            case set() | frozenset() | deque():
                portable = _extension(EXT_SINGLE, *named, [self.of(each, f"{place}[…]") for each in value])
            case _DeltaSnapshot():
                portable = ormsgpack.Ext(jsonplus.EXT_DELTA_SNAPSHOT, _packed(self.of(value.value, place)))
            case BaseModel():
                portable = _extension(EXT_MODEL, *named, self._dumped(value, place))
            case Send():
                arguments = [value.node, self.of(value.arg, place), *filter(None, [value.timeout])]
                portable = _extension(EXT_ARGS, *named, arguments)
            case tuple() if hasattr(value, "_asdict"):
                portable = _extension(EXT_FIELDS, *named, self._fields(value._asdict(), place))
            case list() | tuple():
                portable = [self.of(each, f"{place}[{at}]") for at, each in enumerate(value)]
            case _ if dataclasses.is_dataclass(type(value)):
                given = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
                portable = _extension(EXT_FIELDS, *named, self._fields(given, place))
            case _:
                _packed(value)
                portable = value
        return portable

    def _fields(self, given: Mapping[str, Any], place: str) -> dict[str, Any]:
        return {name: self.of(each, f"{place}.{name}".removeprefix(".")) for name, each in given.items()}

    def _dumped(self, model: BaseModel, place: str) -> Any:
        """Return the model's fields as Python values; as JSON values if the Python values cannot be encoded."""
        try:
            return self.of(_data_of_model(model), place)
        except StateNotStorable as error:
            try:
                return self.of(model.model_dump(mode="json", warnings=False), place)
            except Exception:  # noqa: BLE001  the first error is clearer
                raise error from None

    def _mapping(self, given: dict[Any, Any], place: str) -> Any:
        if all(type(key) is str and key.isprintable() for key in given):
            return self._fields(given, place)
        pairs = [(self.of(key, f"a key of {place}"), self.of(each, f"{place}[…]")) for key, each in given.items()]
        return _extension(EXT_SINGLE, "builtins", "dict", pairs)


def dumped(value: Any) -> tuple[str, bytes]:
    """Return the name of the encoding and the encoded value, in LangGraph's format.

    A bytearray is read back as bytes, also inside another value.
    """
    if value is None:
        return "null", b""
    return ("bytes", bytes(value)) if type(value) in (bytes, bytearray) else ("msgpack", _packed(value))


def quick_hash(message: Any) -> int | None:
    """Return a hash of a LangChain message's fields, in a sixth of the time that `dumped` takes.

    None for other objects: their serializers may read more than their fields. None also for a message with text or
    numbers that only `PortableEncoder` encodes.
    """
    if not type(message).__module__.startswith(LANGCHAIN_MESSAGES):
        return None
    try:
        return hash(_packed((message.__dict__, message.__pydantic_extra__)))
    except Exception:  # noqa: BLE001  the encoder may raise anything
        return None


def _packed(value: Any) -> bytes:
    return ormsgpack.packb(value, default=_as_extension, option=OPTIONS)


def _as_extension(value: Any) -> Any:
    """Return the same as LangGraph's encoder, but encode containers here so that OPTIONS apply to their content."""
    type_of: Any = type(value)
    if issubclass(type_of, BaseException):  # `isinstance` would call its `__class__`
        return _error_text(value)
    named = (type_of.__module__, type_of.__name__)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        content = (*named, _data_of_model(value), "model_validate_json")
        return ormsgpack.Ext(EXT_MODEL, ormsgpack.packb(content, _as_extension, OPTIONS))
    found: Any
    match value:
        case PlainData():
            code, module, name, method = value.origin
            found = _extension(code, module, name, bare(value), *method)
        case Enum():
            found = jsonplus._msgpack_default(value)
        case dict() | list() | str() | int() | float():
            found = bare(value)
        case set() | frozenset() | deque():
            found = _extension(EXT_SINGLE, *named, tuple(value))
        case _DeltaSnapshot():
            found = ormsgpack.Ext(jsonplus.EXT_DELTA_SNAPSHOT, _packed(value.value))
        case Send():
            found = _extension(EXT_ARGS, *named, (value.node, value.arg, *filter(None, [value.timeout])))
        case tuple() if hasattr(value, "_asdict"):
            found = _extension(EXT_FIELDS, *named, value._asdict())
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            given = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            found = _extension(EXT_FIELDS, *named, given)
        case datetime(fold=1, tzinfo=None) if type_of is datetime:
            found = _extension(EXT_FIELDS, *named, {name: getattr(value, name) for name in FIELDS_OF_TIME})
        case _:
            found = jsonplus._msgpack_default(value)
    return found


def _data_of_model(model: Any) -> Any:
    """Return the fields of a pydantic model. Do not convert objects in fields of type `Any`, `dict` or `list`."""
    data = model.model_dump(warnings=False)
    kind: Any = type(model)
    for name in _open_fields(kind):
        data[name] = getattr(model, name)
    return data


@lru_cache(maxsize=1024)
def _open_fields(kind: Any) -> tuple[str, ...]:
    """Return the names of fields that may hold objects of any class; none if the model has its own serializers."""
    if not issubclass(kind, BaseModel) or issubclass(kind, RootModel):
        return ()
    decorators = kind.__pydantic_decorators__
    if decorators.field_serializers or decorators.model_serializers:
        return ()
    return tuple(name for name, each in kind.model_fields.items() if each.annotation in ANYTHING and not each.exclude)


def _extension(code: int, *content: Any) -> ormsgpack.Ext:
    return ormsgpack.Ext(code, _packed(content))


def _error_text(error: BaseException) -> str:
    return scrubbed(described(error)[:MAX_ERROR_LENGTH])
