"""Writes the output of a run as JSON, within MAX_OUTPUT_BYTES."""

import json
from contextlib import suppress

from pydantic_core import to_jsonable_python

from ..errors import OutputTooLarge
from ..text import storable_json


def as_json(value: object) -> object:
    """Return a value in a form that JSON can hold: models, data classes and messages as objects."""
    with suppress(ValueError):  # text that UTF-8 cannot carry, or a value that contains itself
        value = to_jsonable_python(value, serialize_unknown=True, serialize_as_any=True)
    return storable_json(value)


def output_text(value: object, max_bytes: int) -> str:
    """Return JSON values as text. Raises OutputTooLarge if its UTF-8 takes more than `max_bytes`."""
    text = json.dumps(value, ensure_ascii=False)
    size = len(text.encode())
    if size > max_bytes:
        raise OutputTooLarge(size, max_bytes)
    return text
