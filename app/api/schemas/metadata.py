"""The metadata of a message: texts, numbers, booleans and nulls by key."""

import json
import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from ...models.types import Text
from ...text import storable

MAX_METADATA_BYTES = 16 * 1024
MAX_KEY_LENGTH = 64
MAX_INTEGER = 2**63


def _scalar(value: Any) -> Any:
    """Return a value of metadata. Raises ValueError for arrays, objects and numbers that databases cannot hold."""
    match value:
        case str():
            return storable(value)
        case dict() | list():
            raise ValueError("expected a text, a number, a boolean or null, not an array or an object")
        case float() if not math.isfinite(value):
            raise ValueError("expected a number that JSON has, not NaN or infinity")
        case int() if abs(value) >= MAX_INTEGER:
            raise ValueError("expected a number of at most 64 bits; give larger numbers as texts")
    return value


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata. Raises ValueError if they are too large together."""
    size = len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"expected at most {MAX_METADATA_BYTES} bytes of JSON, got {size}")
    return metadata


MetadataKey = Annotated[Text, Field(min_length=1, max_length=MAX_KEY_LENGTH)]
Metadata = Annotated[
    dict[
        MetadataKey,
        Annotated[
            Any,
            AfterValidator(_scalar),
            WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}]}),
        ],
    ],
    AfterValidator(_small),
]
