"""Checks and converts texts and JSON values for storage and output, and formats times. Pure."""

import base64
import math
import re
from collections import deque
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Line ends, terminal controls, changes of the writing direction, and code points that UTF-8 cannot encode."""

MAX_JSON_DEPTH = 100
"""Maximum nesting of a value. Many writers and readers of JSON refuse more than about 200 levels."""

MAX_DECIMAL_BITS = 14_000
"""Maximum bits of an integer in decimal form. Python refuses more than 4,300 digits."""


T = TypeVar("T")


@lru_cache(maxsize=1024)
def rfc3339(moment: datetime) -> str:
    """Return the time as UTC with milliseconds and `Z`. All times in answers have this form."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def storable(text: str) -> str:
    """Return the text. Raises ValueError if databases or UTF-8 cannot hold it."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain lone surrogates") from error
    return text


def amount_of(count: int, noun: str) -> str:
    """Return a number with its noun, which is given in the plural: `1 message`, `2 messages`."""
    return f"{count} {noun.removesuffix('s') if count == 1 else noun}"


def on_one_line(text: str) -> str:
    """Return the text. Raises ValueError if it has a line break or another control character."""
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def storable_value(value: T) -> T:
    """Return a JSON value. Raises ValueError if databases, or other readers of JSON, cannot hold it."""
    left: list[tuple[object, int]] = [(value, 0)]
    while left:
        found, depth = left.pop()
        match found:
            case str():
                storable(found)
            case float() if not math.isfinite(found):
                raise ValueError("must not contain NaN or infinity, which JSON does not have")
            case dict() | list() if depth >= MAX_JSON_DEPTH:
                raise ValueError(f"must not be nested more than {MAX_JSON_DEPTH} deep")
            case dict():
                left += [(each, depth + 1) for pair in found.items() for each in pair]
            case list():
                left += [(each, depth + 1) for each in found]
    return value


def scrubbed(text: str) -> str:
    """Return the text with unstorable characters replaced."""
    return without_surrogates(text.replace("\x00", "\ufffd"))


def without_surrogates(text: str) -> str:
    """Return the text in a form that UTF-8 can encode: join pairs of surrogates, and replace lone ones by `?`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return joined.encode("utf-8", "replace").decode()
    return text


def escaped(text: str) -> str:
    r"""Return the text on one line, with control characters in Python's notation, such as `\n` or `\x1b`."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def storable_json(value: object) -> Any:
    """Return the value as JSON that any reader accepts. Raises nothing, whatever the value's class does.

    - NaN and infinity become null, lone surrogates `?`, bytes base64, and times ISO 8601 texts.
    - Sets become lists in the order of their texts.
    - Dataclasses, pydantic models and named tuples become objects, and enum members their values.
    - Integers of more than about 4,200 digits become hexadecimal texts.
    - Any other object becomes its text.
    - A reference of a value to itself becomes `…`, and so does whatever is nested deeper than MAX_JSON_DEPTH.
    """
    return without_surrogates(value) if type(value) is str else _json_of(value, ())


def _json_of(value: Any, around: tuple[int, ...]) -> Any:
    """Return a value as JSON values. `around` has the ids of the containers around the value."""
    kind = type(value)
    if kind is str:
        return without_surrogates(value)
    try:
        if value is None or isinstance(value, str | int | float | Enum):
            return _json_of_scalar(value)
        if id(value) in around or len(around) >= MAX_JSON_DEPTH:
            return "…"
        return _json_of_object(value, (*around, id(value)))
    except BaseException:  # noqa: BLE001  a user's class may raise anything
        return f"<{without_surrogates(type(value).__name__)}>"


def _json_of_scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return storable_json(value.value)
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if value.bit_length() <= MAX_DECIMAL_BITS else hex(value)
    return value


def _json_of_object(value: object, around: tuple[int, ...]) -> Any:
    shown: Any
    match value:
        case dict():
            shown = {_key_of(key): _json_of(item, around) for key, item in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            shown = _json_of(value._asdict(), around)
        case list() | tuple() | deque():
            shown = [_json_of(item, around) for item in value]
        case set() | frozenset():
            shown = sorted((_json_of(item, around) for item in value), key=repr)
        case bytes() | bytearray() | memoryview():
            shown = base64.b64encode(value).decode()
        case date() | time() | timedelta():
            shown = to_jsonable_python(value)
        case BaseModel():
            shown = _json_of(value.model_dump(warnings=False), around)
        case _ if is_dataclass(value) and not isinstance(value, type):
            named = {each.name: getattr(value, each.name) for each in fields(value) if hasattr(value, each.name)}
            shown = _json_of(named, around)
        case _:
            shown = without_surrogates(str(value))
    return shown


def _key_of(key: object) -> str:
    """Return the key of a mapping as text."""
    shown = _json_of(key, ())
    return shown if isinstance(shown, str) else str(key if isinstance(shown, bool | float | None) else shown)


def not_blank(text: str) -> str:
    """Return the text. Raises ValueError if it has only white space."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def is_http_url(url: str) -> bool:
    """Return whether a text is an absolute URL of `http` or `https`."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", url)
        )
    except ValueError:  # the port is no number, or the host in brackets is no address
        return False
