"""Field types of several bodies, and the parts of messages in the forms that agents take."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ....api.schemas.submissions import MAX_URL_LENGTH
from ....models.messages import Priority
from ....models.types import Text
from ....text import storable_value

TEXT_PARTS = ("text", "input_text", "output_text")

TIERS = {"priority": Priority.HIGH, "fast": Priority.HIGH, "flex": Priority.LOW}
"""Priorities by the service tiers that name another one than `normal`."""

MAX_MESSAGES = 10_000


def _not_taken(value: Any) -> Any:
    """Return an empty value. Raises ValueError for any other."""
    if value:
        raise ValueError("this server does not take it, since agents bring their own tools and settings. Leave it out.")
    return value


def _priority_of(value: Any) -> Any:
    """Return a service tier. Raises ValueError for a value that is no text."""
    if not isinstance(value, str | None):
        raise ValueError("expected the name of a service tier, such as flex or priority")
    return value


def content_of(value: Any) -> Any:
    """Return the content of a message as agents take it: a text, or a list of parts.

    Raises ValueError for a part that no agent takes.
    """
    if isinstance(value, str):
        return storable_value(value)
    if not isinstance(value, list):
        raise ValueError("expected a text or a list of parts")
    parts = [_part_of(part) for part in value]
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else storable_value(parts)


def _part_of(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    match kind:
        case "text" | "input_text" | "output_text" if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        case "refusal" if isinstance(part.get("refusal"), str):
            return {"type": "text", "text": part["refusal"]}
        case "image_url" if isinstance(part.get("image_url"), Mapping):
            return _image(part["image_url"].get("url"), part["image_url"].get("detail"))
        case "input_image":
            return _image(part.get("image_url"), part.get("detail"))
        case "file" if isinstance(part.get("file"), Mapping):
            return _file(part["file"])
        case "input_file":
            return _file(part)
    raise ValueError(f"expected parts with a text, an image or a file; this server does not take the part {kind!r}")


def _image(url: Any, detail: Any) -> dict[str, Any]:
    if not isinstance(url, str):
        raise ValueError("expected the URL of an image; this server keeps no files")
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if isinstance(detail, str) else {})}}


def _file(given: Mapping[str, Any]) -> dict[str, Any]:
    data, name = given.get("file_data"), given.get("filename")
    if not isinstance(data, str):
        raise ValueError("expected the data of a file; this server keeps no files")
    return {"type": "file", "file": {"file_data": data, "filename": name if isinstance(name, str) else "file"}}


Name = Annotated[Text, Field(min_length=1, max_length=255)]
Url = Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)]
Content = Annotated[Any, BeforeValidator(content_of)]
NotTaken = Annotated[Any, AfterValidator(_not_taken)]
"""A field that is refused unless it is empty."""

ServiceTier = Annotated[Any, AfterValidator(_priority_of)]


def priority_of(header: Priority | None, tier: str | None) -> Priority:
    """Return the priority of a request: that of the header, or else of the service tier."""
    return header or TIERS.get(tier or "", Priority.NORMAL)
