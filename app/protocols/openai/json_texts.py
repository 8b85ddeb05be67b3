"""JSON of parts that are encoded once, although several events have them. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


class JsonText(str):
    """A value as JSON."""

    __slots__ = ()


def object_of(fields: Mapping[str, Any]) -> JsonText:
    """Return an object as JSON. Its fields may be JSON already."""
    if not any(type(value) is JsonText for value in fields.values()):
        return JsonText(json.dumps(fields))
    pairs = (f'"{name}": {value if type(value) is JsonText else json.dumps(value)}' for name, value in fields.items())
    return JsonText(f"{{{', '.join(pairs)}}}")


def list_of(texts: Iterable[JsonText]) -> JsonText:
    """Return a list as JSON."""
    return JsonText(f"[{', '.join(texts)}]")
