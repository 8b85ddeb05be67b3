"""Checks the fields of a call before the SDK reads them.

The SDK alters or leaves out some values that it cannot read, and tells of others in the words of its parser. Pure.
"""

import binascii
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from ...errors import InvalidRequest

NOT_BASE64 = "expected data in base64, without line ends"

_URL_SAFE = str.maketrans("-_", "+/")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,10}")
_INT32 = range(-(2**31), 2**31)


def refused(field: str, told: str) -> InvalidRequest:
    """Return the error that names a field."""
    return InvalidRequest(f"{field}: {told}", field=field)


def check_fields(given: Any, kind: Any, name: str = "") -> None:
    """Raise InvalidRequest, which names the field, for a value that a message of this kind cannot have.

    `kind` is the descriptor of the message, and `name` that of the field with it. Unknown fields are ignored, as the
    protocol wants it, and null is no value.
    """
    if not isinstance(given, Mapping):
        raise refused(name, "expected an object")
    for field in kind.fields:
        for value in _values_of(given, field):
            _check_field(value, field, f"{name}.{field.json_name}" if name else field.json_name)
    for choice in kind.oneofs:
        chosen = [field.json_name for field in choice.fields if _values_of(given, field)]
        if len(chosen) > 1:
            raise refused(name, f"give one of {' and '.join(chosen)}")


def is_base64(text: str) -> bool:
    """Return whether a text is data in base64, of either alphabet, with or without its padding. Empty data is none."""
    plain = text.translate(_URL_SAFE)
    try:
        return bool(binascii.a2b_base64(plain if "=" in plain else plain + "=" * (-len(plain) % 4), strict_mode=True))
    except ValueError:  # also for characters beyond ASCII
        return False


def _values_of(given: Mapping[str, Any], field: Any) -> list[Any]:
    """Return what a field is given by its name in JSON and by the other one, which the SDK takes too."""
    return [value for name in {field.json_name, field.name} if (value := given.get(name)) is not None]


def _check_field(value: Any, field: Any, at: str) -> None:
    """Raise InvalidRequest unless a field can have a value, or a repeated field these values."""
    if not field.is_repeated:
        _check(value, field, at)
        return
    if not isinstance(value, list):
        raise refused(at, "expected an array")
    for number, each in enumerate(value):
        _check(each, field, f"{at}.{number}")


def _check(value: Any, field: Any, at: str) -> None:
    """Raise InvalidRequest unless a field can have a value, or a repeated field such an entry."""
    match field.type:
        case FieldDescriptor.TYPE_ENUM:
            _check_name(value, field.enum_type, at)
        case FieldDescriptor.TYPE_MESSAGE:
            _check_message(value, field.message_type, at)
        case FieldDescriptor.TYPE_BOOL if not isinstance(value, bool):
            raise refused(at, "expected true or false")
        case FieldDescriptor.TYPE_INT32 if not _is_int32(value):
            raise refused(at, f"expected a whole number from {_INT32[0]} to {_INT32[-1]}")
        case FieldDescriptor.TYPE_STRING if not isinstance(value, str):
            raise refused(at, "expected a text")
        case FieldDescriptor.TYPE_BYTES if not (isinstance(value, str) and is_base64(value)):
            raise refused(at, NOT_BASE64)


def _check_name(value: Any, names: Any, at: str) -> None:
    """Raise InvalidRequest for a name or a number that a field of names does not have."""
    known = names.values_by_name if isinstance(value, str) else names.values_by_number
    if isinstance(value, bool) or not isinstance(value, str | int) or value not in known:
        raise refused(at, f"expected one of {', '.join(names.values_by_name)}")


def _check_message(value: Any, kind: Any, at: str) -> None:
    match kind.full_name:
        case "google.protobuf.Value":
            _check_numbers(value, at)
        case "google.protobuf.Timestamp":
            try:
                Timestamp().FromJsonString(value)
            except (ValueError, AttributeError):  # AttributeError: it is no text
                raise refused(at, "expected a time of RFC 3339, such as 2030-01-31T09:00:00Z") from None
        case "google.protobuf.Struct":
            if not isinstance(value, dict):
                raise refused(at, "expected an object")
            _check_numbers(value, at)
        case _:
            check_fields(value, kind, at)


def _check_numbers(value: Any, at: str) -> None:
    """Raise InvalidRequest for JSON with a number that is too large. All numbers of the protocol are floats."""
    match value:
        case dict():
            for each in value.values():
                _check_numbers(each, at)
        case list():
            for each in value:
                _check_numbers(each, at)
        case int():
            try:
                float(value)
            except OverflowError:
                raise refused(at, "expected numbers below 1.8e308") from None


def _is_int32(value: Any) -> bool:
    match value:
        case bool():
            return False
        case str():
            return bool(_WHOLE_NUMBER.fullmatch(value)) and int(value) in _INT32
        case float():
            return value.is_integer() and int(value) in _INT32
    return isinstance(value, int) and value in _INT32
