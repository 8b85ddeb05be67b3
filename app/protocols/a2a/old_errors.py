"""Tells clients of version 0.3 which field is wrong. Pure."""

from collections.abc import Sequence
from typing import Any

from a2a.compat.v0_3 import types as old

from .fields import NOT_BASE64, is_base64, refused

PART_TYPES = frozenset({"TextPart", "FilePart", "DataPart"})
TYPES = PART_TYPES | {"FileWithBytes", "FileWithUri"}
"""Names of the SDK's types, which Pydantic puts into the places of its errors."""


def shown_errors(errors: Sequence[Any]) -> list[Any]:
    """Return Pydantic's errors of a call: those of the kinds of parts that the client means, by the client's fields."""
    others = {_part_of(each["loc"]) for each in errors if each["type"] == "literal_error"} - {()}
    meant = [each for each in errors if _part_of(each["loc"]) not in others]
    told = meant or [{**errors[0], "type": "part_kind", "msg": "expected one of text, file and data"}]
    return [_shown(each) for each in told]


def check_files(params: Any) -> None:
    """Raise InvalidRequest for a file that is not in base64. The SDK would alter it."""
    for number, part in enumerate(params.message.parts):
        file = getattr(part.root, "file", None)
        if isinstance(file, old.FileWithBytes) and not is_base64(file.bytes):
            raise refused(f"message.parts.{number}.file.bytes", NOT_BASE64)


def _part_of(location: Sequence[int | str]) -> tuple[int | str, ...]:
    """Return the place of a part as one of its types; empty for other places."""
    for at, name in enumerate(location):
        if name in PART_TYPES:
            return tuple(location[: at + 1])
    return ()


def _shown(error: Any) -> Any:
    location = tuple(name for name in error["loc"][1:] if name not in TYPES)  # behind `params`
    is_object = error["type"] in ("model_type", "dict_type", "model_attributes_type")
    return {**error, "loc": location, **({"type": "object", "msg": "expected an object"} if is_object else {})}
