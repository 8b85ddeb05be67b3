"""Field types of several bodies."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ....models.types import Text


def _taken(value: Any) -> Any:
    """Return null, an empty list or false. Raises ValueError for any other value."""
    if value:
        raise ValueError("this server does not take it. Leave it out.")
    return value


def listed(value: Any) -> Any:
    """Return one value as a list of it."""
    return value if isinstance(value, list) or value is None else [value]


def _checkpoint_id(value: Any) -> Any:
    """Return the id in one of the forms in which clients name a checkpoint; any other value as it is.

    Raises ValueError for a checkpoint of a subgraph.
    """
    if not isinstance(value, dict):
        return value
    inner = value.get("configurable")
    place = inner if isinstance(inner, dict) else value
    if place.get("checkpoint_ns"):
        raise ValueError("this server takes no checkpoint of a subgraph")
    return place.get("checkpoint_id")


Name = Annotated[Text, Field(min_length=1, max_length=255)]
NotTaken = Annotated[Any, AfterValidator(_taken)]
"""A field that is refused unless it is empty."""

CheckpointId = Annotated[Name | None, BeforeValidator(_checkpoint_id)]
"""The id of a checkpoint, which clients give as a text, as a checkpoint, or as a config."""
