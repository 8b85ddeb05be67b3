"""Encodes and decodes values of the agents' memory, in the same way for every engine. See docs/adr/0035.

LangGraph's serializer defines the format and encodes most values. `encoding` encodes the others in the same format.
Objects are decoded here, with one allow-list for every read.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from typing import Any, cast

import ormsgpack
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_METHODS, SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Send
from pydantic import BaseModel
from typing_extensions import override

from ..errors import StateNotStorable, StateUnreadable
from ..policy.failures import class_name
from ..policy.state_types import StateTypes
from ..text import escaped
from .encoding import EXT_MODEL, PortableEncoder, dumped
from .plain_data import PLAIN

MAX_SHOWN_KIND = 50

BUILTINS = frozenset({("builtins", "int"), ("builtins", "dict")})
"""Classes that `PortableEncoder` encodes but that are missing in LangGraph's list of safe types."""

EXT_METHOD = jsonplus.EXT_METHOD_SINGLE_ARG
EXT_NUMPY = jsonplus.EXT_NUMPY_ARRAY
READ_OPTIONS = ormsgpack.OPT_NON_STR_KEYS

QUESTION = "__interrupt__"


class Serializer(JsonPlusSerializer):
    """LangGraph's serializer with this server's allow-list. Its errors name what cannot be stored or read.

    It raises StateNotStorable and StateUnreadable. It stores only the beginning of a failed node's error. LangGraph
    stores the whole `repr(error)`, which may raise.
    """

    def __init__(self, allowed_types: Collection[str] = ()) -> None:
        super().__init__(pickle_fallback=False, allowed_msgpack_modules=None, __unpack_ext_hook__=self._built)
        self._types = StateTypes(allowed_types)
        self._safe_kinds: dict[tuple[str, str], Any] = {}

    @override
    def with_msgpack_allowlist(self, extra_allowlist: Iterable[Any]) -> JsonPlusSerializer:
        return self  # only the setting allows types, for all graphs and subgraphs alike

    @override
    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        try:
            return dumped(obj)
        except Exception:  # noqa: BLE001  the encoder or a user's class may raise anything
            return dumped(PortableEncoder().of(obj, ""))

    @override
    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, stored = data
        if kind == "null":
            return None
        if kind == "bytes":
            return stored
        if kind != "msgpack":  # such as JSON of earlier LangGraphs; our savers never wrote it
            raise StateUnreadable(f"it is stored as {escaped(kind[:MAX_SHOWN_KIND])}")
        try:
            return ormsgpack.unpackb(stored, ext_hook=self._built, option=READ_OPTIONS)
        except Exception as error:
            raise StateUnreadable(class_name(error)) from error

    @contextmanager
    def naming(self, values: Iterable[tuple[str, Any]]) -> Iterator[None]:
        """Add to StateNotStorable the name of the channel whose value cannot be stored."""
        try:
            yield
        except StateNotStorable:
            for channel, value in values:
                try:
                    self.dumps_typed(value)
                except StateNotStorable as error:
                    raise error.inside("interrupt()" if channel == QUESTION else channel) from error.__cause__
            raise

    # Decoding msgpack's extensions, which hold objects

    def _built(self, code: int, data: bytes) -> Any:
        """Build the object of an extension. Return its plain data if its type is not allowed or refuses the data."""
        if code == EXT_NUMPY:
            return jsonplus._msgpack_ext_hook(code, data)
        content = ormsgpack.unpackb(data, ext_hook=self._built, option=READ_OPTIONS)
        if code == EXT_MODEL and (kind := self._safe_kinds.get((content[0], content[1]))) is not None:
            return _build_model(kind, content[2])  # nearly all objects are messages
        return _DeltaSnapshot(content) if code == jsonplus.EXT_DELTA_SNAPSHOT else self._built_of(code, *content)

    def _built_of(self, code: int, module: str, name: str, payload: Any, *method: str) -> Any:
        """Build an object that is no LangChain message. `method` follows the payload in the extension's data."""
        if code == EXT_METHOD and (module, name, *method) in SAFE_MSGPACK_METHODS:
            return datetime.fromisoformat(payload)
        kind = self._kind(module, name)
        if kind is not None:
            try:
                return _build(code, kind, payload)
            except Exception as error:  # noqa: BLE001  a user's class may raise anything
                reason = f"it cannot be built again from its data ({type(error).__name__})"
                self._types.warn(f"{module}:{name}", reason)
        plain = PLAIN.get(type(payload))
        return payload if plain is None else plain.of(payload, (code, module, name, method))

    def _kind(self, module: str, name: str) -> Any:
        """Return the class with this name; None if it is not allowed."""
        if (module, name) not in SAFE_MSGPACK_TYPES and (module, name) not in BUILTINS:
            return self._types.find(module, name)
        kind = self._safe_kinds[module, name] = getattr(import_module(module), name)
        return kind


def _build(code: int, kind: Any, payload: Any) -> Any:
    """Return an object of class `kind`."""
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
    """Return a pydantic model. The keys of `payload` are names of fields, even if the fields have aliases."""
    try:
        if kind.__module__.startswith("langchain_core.") or not issubclass(kind, BaseModel):
            return kind(**payload)
        return kind.model_validate(payload, by_alias=True, by_name=True)
    except Exception:  # noqa: BLE001  a validator may refuse data that was valid when stored
        return kind.model_construct(**payload) if issubclass(kind, BaseModel) else kind.construct(**payload)


def _build_of_fields(kind: Any, payload: dict[str, Any]) -> Any:
    """Return a dataclass, a named tuple, or another object with these fields."""
    try:
        return kind(**payload)
    except Exception:
        if not dataclasses.is_dataclass(kind):
            raise
    built: Any = object.__new__(cast(type, kind))  # its `__init__` does not accept its fields
    for name, value in payload.items():
        object.__setattr__(built, name, value)
    return built


def _hashable(value: Any) -> Any:
    """Return a list as a tuple, recursively. Msgpack has no tuples, and sets and keys cannot hold lists."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
