"""Metadata as LangGraph's clients give them: any JSON values. The queue keeps texts, numbers, booleans and nulls."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from ....api.schemas.metadata import Metadata
from ....text import storable_value

MARK = "json:"
"""Begins a text that stands for an array or an object, as its JSON follows."""


def flat(metadata: Any) -> Any:
    """Return metadata with arrays and objects as marked texts; anything that is no object as it is.

    A text that begins with the mark is marked itself, so that `whole` gives it back. Raises ValueError for a value
    that databases cannot hold.
    """
    if not isinstance(metadata, dict):
        return metadata
    return {key: _flat_value(value) for key, value in metadata.items()}


def _flat_value(value: Any) -> Any:
    if isinstance(value, dict | list) or (isinstance(value, str) and value.startswith(MARK)):
        return MARK + json.dumps(storable_value(value), sort_keys=True, separators=(",", ":"))
    return value


def whole(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with the values that marked texts stand for."""
    return {key: _whole_value(value) for key, value in metadata.items()}


def _whole_value(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(MARK):
        return value
    try:
        meant = json.loads(value.removeprefix(MARK))
    except (ValueError, RecursionError):  # a text that another client gave
        return value
    is_marked = isinstance(meant, dict | list) or (isinstance(meant, str) and meant.startswith(MARK))
    return meant if is_marked else value


NestedMetadata = Annotated[Metadata, BeforeValidator(flat)]
