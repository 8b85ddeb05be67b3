"""Convert metadata to the texts that stores keep, compare and merge. Pure.

A message keeps its metadata as canonical JSON: sorted keys, no spaces, ASCII. A thread keeps a JSON object whose values
are JSON texts. Every engine can merge such objects without reading the values.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors.threads import MetadataTooLarge
from ..models.messages import MessageFilter, MetadataValue, NewMessage
from ..models.threads import ThreadFilter
from .limits import THREAD_METADATA_LENGTH

_EXACT_INTEGERS = 2**53


def metadata_text(metadata: Mapping[str, MetadataValue] | None) -> str | None:
    """Return the metadata of a message as they are stored, None if there are none."""
    return _canonical(metadata) if metadata else None


def thread_patch(messages: Iterable[NewMessage]) -> str | None:
    """Return the change that these messages make to their thread's metadata, None if they make none.

    The change is a JSON object whose values are JSON texts. A null removes the key. Later messages win.
    """
    merged: dict[str, MetadataValue] = {}
    for each in messages:
        merged |= each.metadata or {}
    if not merged:
        return None
    return json.dumps(_texts(merged))


def metadata_patch(metadata: Mapping[str, MetadataValue] | None) -> str | None:
    """Return the change that these values make to a thread's metadata, in the form of `thread_patch`."""
    return json.dumps(_texts(metadata)) if metadata else None


def merged_metadata(stored: str | None, patch: Mapping[str, MetadataValue] | None) -> str | None:
    """Return the stored metadata of a thread with a patch merged in. A null removes a key. Raises MetadataTooLarge."""
    if not patch:
        return stored
    found: dict[str, str | None] = {} if stored is None else json.loads(stored)
    found |= _texts(patch)
    text = json.dumps({key: value for key, value in found.items() if value is not None})
    if len(text) > THREAD_METADATA_LENGTH:
        raise MetadataTooLarge(THREAD_METADATA_LENGTH)
    return text


def thread_metadata(text: str | None) -> dict[str, MetadataValue]:
    """Return the metadata of a thread from the stored text."""
    if text is None:
        return {}
    stored: dict[str, str | None] = json.loads(text)
    return {key: json.loads(value) for key, value in stored.items() if value is not None}


def wanted_metadata(chosen: MessageFilter) -> str | None:
    """Return the alternatives of which stored metadata must contain one for each key; None if anything matches.

    The result is a JSON array. It has, for each key of the filter, an array of texts such as `,"key":42,`. To match,
    replace the outer braces of the stored metadata by commas, and search for these texts. Quotes inside a value are
    escaped, so an alternative never matches inside a value.
    """
    if not chosen.metadata:
        return None
    return json.dumps([_forms(key, text) for key, text in chosen.metadata.items()])


def wanted_thread_metadata(chosen: ThreadFilter) -> str | None:
    """Return what the stored metadata of a thread must have, None for anything.

    The result is a JSON array. It has, for each key of the filter, an array of the key and of the JSON texts of which
    its value must be one.
    """
    if not chosen.metadata:
        return None
    return json.dumps([[key, _value_texts(text)] for key, text in chosen.metadata.items()])


def _forms(key: str, text: str) -> list[str]:
    return [f",{json.dumps(key)}:{value}," for value in _value_texts(text)]


def _value_texts(text: str) -> list[str]:
    """Return the JSON texts of the values that the text of a filter matches."""
    scalar = _scalar_of(text)
    return [json.dumps(text), *([] if isinstance(scalar, str) else [_value_text(scalar)])]


def _scalar_of(text: str) -> MetadataValue:
    """Return the text read as a JSON number, boolean or null; for any other text, the text itself."""
    try:
        value: Any = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):  # no JSON, or nested too deep to be read
        return text
    return text if isinstance(value, dict | list | str) else value


def _texts(metadata: Mapping[str, MetadataValue]) -> dict[str, str | None]:
    """Return the values as JSON texts, None for a null."""
    return {key: None if value is None else _value_text(value) for key, value in metadata.items()}


def _value_text(value: MetadataValue) -> str:
    """Return a value as JSON. A whole number has one form, whether it came as 42 or as 42.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INTEGERS:
        value = int(value)
    return json.dumps(value)


def _canonical(metadata: Mapping[str, MetadataValue]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{_value_text(value)}" for key, value in sorted(metadata.items())) + "}"
