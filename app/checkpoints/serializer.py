"""Turns values of the agents' memory into bytes and back, the same on every engine. See docs/adr/0035.

The format is that of LangGraph's serializer, which also writes most values. `_Portable` writes the others in the same
format. Objects that are read are built here, with one allow-list for every read.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

import ormsgpack
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_METHODS, SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Send
from pydantic import BaseModel, RootModel

from ..errors import StateNotStorable, StateUnreadable
from ..policy.failures import class_name, described
from ..policy.state_types import StateTypes
from ..text import escaped, scrubbed, without_surrogates

MAX_ERROR_LENGTH = 2_000
MAX_SHOWN_KIND = 50

MIN_INT, MAX_INT = -(2**63), 2**64 - 1
"""The integers that msgpack has."""

MAX_DEPTH = 200

OPTIONS = jsonplus._option & ~ormsgpack.OPT_REPLACE_SURROGATES | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
"""LangGraph's options, except that `_Portable` writes text that UTF-8 cannot carry, and `_Plain` keeps its class."""

BUILTINS = frozenset({("builtins", "int"), ("builtins", "dict")})
"""Classes that `_Portable` writes and LangGraph does not count as safe."""

EXT_SINGLE = jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG
EXT_ARGS = jsonplus.EXT_CONSTRUCTOR_POS_ARGS
EXT_FIELDS = jsonplus.EXT_CONSTRUCTOR_KW_ARGS
EXT_MODEL = jsonplus.EXT_PYDANTIC_V2
EXT_METHOD = jsonplus.EXT_METHOD_SINGLE_ARG
EXT_NUMPY = jsonplus.EXT_NUMPY_ARRAY
READ_OPTIONS = ormsgpack.OPT_NON_STR_KEYS

ANYTHING = (Any, dict, list, dict[str, Any], dict[Any, Any], list[Any])
"""Declared types of fields that may hold objects of any class."""

QUESTION = "__interrupt__"


class Serializer(JsonPlusSerializer):
    """LangGraph's serializer with our allow-list, and with errors that tell what cannot be stored.

    It stores only the beginning of a failed node's error. LangGraph stores `repr(error)`, which may raise and has no
    limit.
    """

    def __init__(self, allowed_types: Collection[str] = ()) -> None:
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None, __unpack_ext_hook__=self._built)
        self._types = StateTypes(allowed_types)
        self._safe_kinds: dict[tuple[str, str], Any] = {}

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> JsonPlusSerializer:  # noqa: ARG002  LangGraph's
        """Return this serializer: the setting alone allows types, the same for each graph and subgraph."""
        return self

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """See SerializerProtocol. Raises StateNotStorable."""
        try:
            return _dumped(obj)
        except Exception:  # noqa: BLE001  whatever the encoder or a user's class raises
            return _dumped(_Portable().of(obj, ""))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """See SerializerProtocol. Raises StateUnreadable.

        LangGraph also reads JSON of its earlier versions. It names classes too, and our savers have never written it.
        """
        kind, stored = data
        if kind == "null":
            return None
        if kind == "bytes":
            return stored
        if kind != "msgpack":
            raise StateUnreadable(f"it is stored as {escaped(kind[:MAX_SHOWN_KIND])}")
        try:
            return ormsgpack.unpackb(stored, ext_hook=self._built, option=READ_OPTIONS)
        except Exception as error:
            raise StateUnreadable(class_name(error)) from error

    @contextmanager
    def naming(self, values: Iterable[tuple[str, Any]]) -> Iterator[None]:
        """Have StateNotStorable name which of these values, by their channels, cannot be stored."""
        try:
            yield
        except StateNotStorable:
            for channel, value in values:
                try:
                    self.dumps_typed(value)
                except StateNotStorable as error:
                    raise error.inside("interrupt()" if channel == QUESTION else channel) from error.__cause__
            raise

    # Reading extensions of msgpack, which are objects

    def _built(self, code: int, data: bytes) -> Any:
        """Build a value again; give its plain data when its type is not allowed or refuses the data."""
        if code == EXT_NUMPY:
            return jsonplus._msgpack_ext_hook(code, data)
        content = ormsgpack.unpackb(data, ext_hook=self._built, option=READ_OPTIONS)
        if code == EXT_MODEL and (kind := self._safe_kinds.get((content[0], content[1]))) is not None:
            return _build_model(kind, content[2])  # nearly all that is read are messages
        return _DeltaSnapshot(content) if code == jsonplus.EXT_DELTA_SNAPSHOT else self._built_of(code, *content)

    def _built_of(self, code: int, module: str, name: str, payload: Any, *method: str) -> Any:
        """Build what is no LangChain message. `method` is what the row has behind the payload."""
        if code == EXT_METHOD and (module, name, *method) in SAFE_MSGPACK_METHODS:
            return datetime.fromisoformat(payload)
        kind = self._kind(module, name)
        if kind is not None:
            try:
                return _build(code, kind, payload)
            except Exception as error:  # noqa: BLE001  a user's class may raise anything
                told = f"it cannot be built again from its data ({type(error).__name__})"
                self._types.warn(f"{module}:{name}", told)
        plain = PLAIN.get(type(payload))
        return payload if plain is None else plain.of(payload, (code, module, name, method))

    def _kind(self, module: str, name: str) -> Any:
        """Return the class of this name; None when it is not allowed."""
        if (module, name) not in SAFE_MSGPACK_TYPES and (module, name) not in BUILTINS:
            return self._types.find(module, name)
        kind = self._safe_kinds[module, name] = getattr(import_module(module), name)
        return kind


class _Plain:
    """Plain data of an object whose class is not allowed. It is stored again as the object.

    A process without the setting therefore changes nothing for a process that has it.
    """

    origin: tuple[int, str, str, tuple[str, ...]]

    @classmethod
    def of(cls, payload: Any, origin: tuple[int, str, str, tuple[str, ...]]) -> Any:
        """Return the data with the mark: code, module, name and method of the object."""
        made: Any = cast(Any, cls)(payload)
        made.origin = origin
        return made


class PlainDict(_Plain, dict[str, Any]):
    """The fields of an object."""


class PlainList(_Plain, list[Any]):
    """The arguments of an object, or its items."""


class PlainText(_Plain, str):  # noqa: SLOT000  it has the mark
    """The text, or the value of a member of an enum."""


class PlainInt(_Plain, int):
    """The value of a member of an enum."""


class PlainFloat(_Plain, float):
    """The value of a member of an enum."""


PLAIN: dict[type, type[_Plain]] = {dict: PlainDict, list: PlainList, str: PlainText, int: PlainInt, float: PlainFloat}


def _bare(value: Any) -> Any:
    """Return a value of a built-in class for one of a subclass; any other value as it is."""
    for kind in PLAIN:
        if isinstance(value, kind):
            return BARE[kind](value)
    return value


BARE: dict[type, Callable[[Any], Any]] = {
    dict: dict, list: list, str: str.__str__, int: int.__int__, float: float.__float__
}  # fmt: skip
"""A subclass may have methods of its own under these names."""


def _build(code: int, kind: Any, payload: Any) -> Any:
    """Return a value of this class."""
    found: Any
    match code:
        case jsonplus.EXT_PYDANTIC_V1 | jsonplus.EXT_PYDANTIC_V2:
            found = _build_model(kind, payload)
        case jsonplus.EXT_CONSTRUCTOR_POS_ARGS if kind is Send and len(payload) > 2:
            found = Send(payload[0], payload[1], timeout=payload[2])
        case jsonplus.EXT_CONSTRUCTOR_POS_ARGS:
            found = kind(*payload)
        case jsonplus.EXT_CONSTRUCTOR_KW_ARGS:
            found = _build_of_fields(kind, payload)
        case jsonplus.EXT_METHOD_SINGLE_ARG if issubclass(kind, datetime):
            found = kind.fromisoformat(payload)
        case jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG if kind is dict:
            found = {_hashable(key): value for key, value in payload}
        case jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG if kind in (set, frozenset):
            found = kind(map(_hashable, payload))
        case jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG:
            found = kind(payload)
        case _:
            raise ValueError(f"unknown code {code}")
    return found


def _build_model(kind: Any, payload: dict[str, Any]) -> Any:
    """Return a pydantic model. The data has the names of its fields, whatever aliases these have."""
    try:
        if kind.__module__.startswith("langchain_core.") or not issubclass(kind, BaseModel):
            return kind(**payload)
        return kind.model_validate(payload, by_alias=True, by_name=True)
    except Exception:  # noqa: BLE001  a validator may refuse what was valid when it was stored
        return kind.model_construct(**payload) if issubclass(kind, BaseModel) else kind.construct(**payload)


def _build_of_fields(kind: Any, payload: dict[str, Any]) -> Any:
    """Return a dataclass, a named tuple or the like."""
    try:
        return kind(**payload)
    except Exception:
        if not dataclasses.is_dataclass(kind):
            raise
    built: Any = object.__new__(cast(type, kind))  # its `__init__` takes something else than its fields
    for name, value in payload.items():
        object.__setattr__(built, name, value)
    return built


def _hashable(value: Any) -> Any:
    """Return a tuple for a list: msgpack has no tuples, and sets and keys have no lists."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


# Writing


class _Portable:
    """Turns a value into one that msgpack can write. Raises StateNotStorable with the place of what it cannot write.

    It takes large integers, keys of any kind and halves of characters. It is slow, so it is used only for values that
    LangGraph's way refuses.
    """

    def __init__(self) -> None:
        self._around: list[int] = []

    def of(self, value: Any, place: str) -> Any:
        """Return the value as it can be written. `place` tells where it is, such as `plan.steps[2]`."""
        if type(value) is str:
            return without_surrogates(value)
        if issubclass(type(value), BaseException):  # `isinstance` would ask its `__class__`
            return _error_text(value)
        if id(value) in self._around:
            raise StateNotStorable(place, "refers back to itself")
        if len(self._around) > MAX_DEPTH:
            raise StateNotStorable(place, "is nested too deeply")
        self._around.append(id(value))
        try:
            if isinstance(value, _Plain):
                code, module, name, method = value.origin
                return _extension(code, module, name, self.of(_bare(value), place), *method)
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
        """Return the fields as Python has them or, where these cannot be written, as JSON has them."""
        try:
            return self.of(_data_of_model(model), place)
        except StateNotStorable as error:
            try:
                return self.of(model.model_dump(mode="json", warnings=False), place)
            except Exception:  # noqa: BLE001  the first error tells more
                raise error from None

    def _mapping(self, given: dict[Any, Any], place: str) -> Any:
        if all(type(key) is str and key.isprintable() for key in given):
            return self._fields(given, place)
        pairs = [(self.of(key, f"a key of {place}"), self.of(each, f"{place}[…]")) for key, each in given.items()]
        return _extension(EXT_SINGLE, "builtins", "dict", pairs)


def _dumped(value: Any) -> tuple[str, bytes]:
    """Return the kind of the bytes and the bytes, in LangGraph's format.

    Byte arrays come back as bytes, as they do inside of other values.
    """
    if value is None:
        return "null", b""
    return ("bytes", bytes(value)) if type(value) in (bytes, bytearray) else ("msgpack", _packed(value))


def _packed(value: Any) -> bytes:
    return ormsgpack.packb(value, default=_as_extension, option=OPTIONS)


def _as_extension(value: Any) -> Any:
    """Return what LangGraph's encoder returns. Classes that hold other values are written here, for OPTIONS inside."""
    type_of: Any = type(value)
    if issubclass(type_of, BaseException):  # `isinstance` would ask its `__class__`
        return _error_text(value)
    named = (type_of.__module__, type_of.__name__)
    if hasattr(value, "model_dump") and not isinstance(value, type):
        content = (*named, _data_of_model(value), "model_validate_json")
        return ormsgpack.Ext(EXT_MODEL, ormsgpack.packb(content, _as_extension, OPTIONS))
    found: Any
    match value:
        case _Plain():
            code, module, name, method = value.origin
            found = _extension(code, module, name, _bare(value), *method)
        case Enum():
            found = jsonplus._msgpack_default(value)
        case dict() | list() | str() | int() | float():
            found = _bare(value)
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
        case _:
            found = jsonplus._msgpack_default(value)
    return found


def _data_of_model(model: Any) -> Any:
    """Return the fields of a pydantic model. Objects in fields that may hold anything stay what they are."""
    data = model.model_dump(warnings=False)
    kind: Any = type(model)
    for name in _open_fields(kind):
        data[name] = getattr(model, name)
    return data


@lru_cache(maxsize=1024)
def _open_fields(kind: Any) -> tuple[str, ...]:
    """Return the names of a model's fields that may hold anything, if the model leaves them to pydantic to write."""
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
