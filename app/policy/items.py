"""Checks items that agents and clients send, and compiles filters. Pure."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import eq, ge, gt, le, lt
from typing import Any, Literal, cast

from ..errors.items import InvalidItem
from ..models.items import MAX_TTL_MINUTES, SEPARATOR, Condition, ConditionGroup, ItemWrite, Namespace, namespace_text
from ..text import MAX_JSON_DEPTH, storable, storable_value

MAX_NAMESPACE_DEPTH = 32
"""Maximum number of labels."""

MAX_NAMESPACE_BYTES = 1_024
MAX_KEY_BYTES = 1_024
MAX_FILTER_CONDITIONS = 100
MAX_PAGE_NUMBER = 1_000_000_000
MAX_NUMBER_BITS = 1_023
"""Maximum bits of an integer: every integer then fits into a double-precision float."""

RESERVED_LABEL = "langgraph"
"""LangGraph refuses this first label too."""

Path = tuple[str | int, ...]
_COMPARISONS: dict[str, Literal["<", "<=", ">", ">="]] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


def checked_labels(labels: Sequence[object], field: str = "namespace") -> Namespace:
    """Return labels as a namespace. Raises InvalidItem for labels that no stored namespace has."""
    if isinstance(labels, str):
        raise InvalidItem("expected a list of labels, not a text", field)
    for label in labels:
        if not isinstance(label, str):
            raise InvalidItem(f"labels must be texts, got a value of the type {type(label).__name__}", field)
        if not label:
            raise InvalidItem("labels must not be empty", field)
        if "." in label:
            raise InvalidItem(f"labels must not contain a period, as {label[:100]!r} does", field)
        if SEPARATOR in label:
            raise InvalidItem("labels must not contain the character U+0001", field)
        _check_text(label, field)
    namespace = tuple(cast(Sequence[str], labels))
    if len(namespace) > MAX_NAMESPACE_DEPTH:
        raise InvalidItem(f"expected at most {MAX_NAMESPACE_DEPTH} labels, got {len(namespace)}", field)
    _check_length(namespace_text(namespace), MAX_NAMESPACE_BYTES, field)
    return namespace


def checked_key(key: str) -> str:
    """Return the key of an item. Raises InvalidItem."""
    _check_text(key, "key")
    _check_length(key, MAX_KEY_BYTES, "key")
    return key


def new_item(
    namespace: Sequence[object], key: str, value: Mapping[str, Any], ttl_minutes: float | None, *, max_bytes: int
) -> ItemWrite:
    """Return an item to store. `max_bytes` limits its value as JSON. Raises InvalidItem."""
    labels = checked_labels(namespace)
    if not labels:
        raise InvalidItem("expected at least one label", "namespace")
    if labels[0] == RESERVED_LABEL:
        raise InvalidItem(f"the first label {RESERVED_LABEL!r} is reserved", "namespace")
    return ItemWrite(labels, checked_key(key), _value_text(value, max_bytes), _ttl_ms(ttl_minutes))


def deleted_item(namespace: Sequence[object], key: str) -> ItemWrite:
    """Return the write that deletes an item. Raises InvalidItem."""
    return ItemWrite(checked_labels(namespace), checked_key(key), None)


def checked_page(limit: int, offset: int, max_depth: int = 0) -> None:
    """Raise InvalidItem for numbers below 0 or above MAX_PAGE_NUMBER."""
    for field, number in (("limit", limit), ("offset", offset), ("max_depth", max_depth)):
        if not 0 <= number <= MAX_PAGE_NUMBER:
            raise InvalidItem(f"expected a number from 0 to {MAX_PAGE_NUMBER}, got {number}", field)


def _check_text(text: str, field: str) -> None:
    try:
        storable(text)
    except ValueError as error:
        raise InvalidItem(str(error), field) from None


def _check_length(text: str, limit: int, field: str) -> None:
    if (length := len(text.encode())) > limit:
        raise InvalidItem(f"expected at most {limit} bytes, got {length}", field)


def _ttl_ms(minutes: float | None) -> int | None:
    if minutes is None:
        return None
    if not 0 < minutes <= MAX_TTL_MINUTES:  # also refuses NaN
        raise InvalidItem(f"expected minutes above 0, at most {MAX_TTL_MINUTES}, got {minutes:g}", "ttl")
    return max(1, round(minutes * 60_000))


def _value_text(value: Mapping[str, Any], max_bytes: int) -> str:
    given = dict(value)
    _check_value(given)
    text = json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if (size := len(text.encode())) > max_bytes:
        raise InvalidItem(f"takes {size} bytes as JSON, and MAX_BODY_BYTES allows {max_bytes}", "value")
    return text


def _check_value(value: object, field: str = "value") -> None:
    """Raise InvalidItem unless JSON, databases and other readers of JSON can hold a value as it is."""
    _check_json(value, field, ())
    try:
        storable_value(value)
    except ValueError as error:
        raise InvalidItem(str(error), field) from None


def _check_json(value: object, field: str, around: tuple[int, ...]) -> None:
    """Raise InvalidItem for values of types that JSON does not have. `around` has the ids of the containers."""
    if id(value) in around or len(around) > MAX_JSON_DEPTH:
        raise InvalidItem(f"must not contain itself, or be nested more than {MAX_JSON_DEPTH} deep", "value")
    match value:
        case None | str() | bool() | float():
            return
        case int():
            if value.bit_length() > MAX_NUMBER_BITS:
                raise InvalidItem(f"must not contain integers of more than {MAX_NUMBER_BITS} bits", field)
        case dict():
            for key, each in value.items():
                if not isinstance(key, str):
                    raise InvalidItem(f"keys of objects must be texts, got {type(key).__name__}", field)
                _check_json(each, f"{field}.{key[:100]}", (*around, id(value)))
        case list() | tuple():
            for index, each in enumerate(value):
                _check_json(each, f"{field}.{index}", (*around, id(value)))
        case _:
            raise InvalidItem(
                f"must be JSON: text, numbers, booleans, null, lists and objects, got {type(value).__name__}", field
            )


# Filters


def compiled(given: Mapping[str, Any] | None) -> tuple[ConditionGroup, ...]:
    """Return a filter in the form that stores apply. Raises InvalidItem.

    A filter names parts of the value. Its values are what the parts must be, or operators with their operands. An
    object without operators names parts of the part. Types are those of JSON: `true` is not 1. `None` also matches a
    part that is missing.
    """
    if not given:
        return ()
    _check_value(dict(given), "filter")
    groups = tuple(chain.from_iterable(_groups((key,), wanted) for key, wanted in given.items()))
    if sum(len(each.conditions) for each in groups) > MAX_FILTER_CONDITIONS:
        raise InvalidItem(f"expected at most {MAX_FILTER_CONDITIONS} conditions", "filter")
    return groups


def _groups(path: Path, wanted: object) -> Iterator[ConditionGroup]:
    match wanted:
        case dict() if any(key.startswith("$") for key in wanted):
            for operator, operand in wanted.items():
                yield _compared(path, operator, operand)
        case dict():
            yield ConditionGroup((Condition(path, "object"),))
            for key, inner in wanted.items():
                yield from _groups((*path, key), inner)
        case list() | tuple():
            yield ConditionGroup((Condition(path, "list_of", number=len(wanted)),))
            for index, inner in enumerate(wanted):
                yield from _groups((*path, index), inner)
        case _:
            yield ConditionGroup(tuple(_equal(path, wanted)))


def _compared(path: Path, operator: str, operand: object) -> ConditionGroup:
    field = "filter." + ".".join(map(str, (*path, operator)))
    if operator in ("$eq", "$ne"):
        return ConditionGroup(tuple(_equal(path, operand)), negated=operator == "$ne")
    if operator not in _COMPARISONS:
        raise InvalidItem(f"unknown operator. Known: $eq, $ne, {', '.join(_COMPARISONS)}", field)
    if isinstance(operand, str):
        return ConditionGroup((Condition(path, "text", _COMPARISONS[operator], text=operand),))
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise InvalidItem("expected a number or a text to compare with", field)
    return ConditionGroup((Condition(path, "number", _COMPARISONS[operator], number=float(operand)),))


def _equal(path: Path, wanted: object, *, inner: bool = False) -> Iterator[Condition]:
    """Yield the conditions under which a part equals a JSON value."""
    match wanted:
        case None:
            yield Condition(path, "null" if inner else "absent")
        case bool():
            yield Condition(path, "true" if wanted else "false")
        case int() | float():
            yield Condition(path, "number", number=float(wanted))
        case str():
            yield Condition(path, "text", text=wanted)
        case dict():
            yield Condition(path, "object_of", number=len(wanted))
            for key, each in wanted.items():
                yield from _equal((*path, key), each, inner=True)
        case list() | tuple():
            yield Condition(path, "list_of", number=len(wanted))
            for index, each in enumerate(wanted):
                yield from _equal((*path, index), each, inner=True)


_MISSING: Any = object()


def matches(value: Mapping[str, Any], groups: Sequence[ConditionGroup]) -> bool:
    """Return whether a value meets a compiled filter. Stores that cannot read JSON themselves call this."""
    return all(all(_holds(value, each) for each in group.conditions) != group.negated for group in groups)


def _holds(value: Any, condition: Condition) -> bool:
    found = _part(value, condition.path)
    kind = condition.kind
    if found is _MISSING or found is None:
        return kind == "absent" or (kind == "null" and found is None)
    if isinstance(found, bool):
        return kind == ("true" if found else "false")
    if isinstance(found, int | float):
        return kind == "number" and _stand(float(found), condition.operator, condition.number)
    if isinstance(found, str):
        return kind == "text" and _stand(found, condition.operator, condition.text)
    if kind in ("object_of", "list_of"):
        return kind == _KINDS[type(found)] and len(found) == condition.number
    return kind == "object" and isinstance(found, dict)


_KINDS: dict[type, str] = {dict: "object_of", list: "list_of"}


def _stand(found: Any, operator: str, wanted: Any) -> bool:
    return bool(_OPERATORS[operator](found, wanted))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"=": eq, "<": lt, "<=": le, ">": gt, ">=": ge}


def _part(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step, _MISSING)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return _MISSING
    return value
