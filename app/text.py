"""What text may be where it is stored or leaves this system, and times as text. Pure."""

import math
import re
from datetime import UTC, datetime

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Ends of lines, controls of terminals, changes of the direction of writing, and what UTF-8 cannot carry."""


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds and `Z`, the form of every time that leaves this system."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def storable(text: str) -> str:
    """Refuses what no database and no UTF-8 stream can carry."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain lone surrogates") from error
    return text


def scrubbed(text: str) -> str:
    """Text of a model, with what is not storable replaced."""
    return _without_surrogates(text.replace("\x00", "\ufffd"))


def _without_surrogates(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def escaped(text: str) -> str:
    r"""Return the text on one line, with control characters as Python would write them, such as `\n` or `\x1b`."""
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def storable_json(value: object) -> object:
    """A value as JSON can carry it to any reader: no lone surrogates, NaN or infinity; other kinds as their text."""
    match value:
        case str():
            return _without_surrogates(value)
        case dict():
            return {_without_surrogates(str(key)): storable_json(item) for key, item in value.items()}
        case list() | tuple():
            return [storable_json(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case bool() | int() | float() | None:
            return value
        case _:
            return _without_surrogates(str(value))


def not_blank(text: str) -> str:
    """Refuses text of white space only."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text
