"""The rule for the ids of threads that clients of surfaces choose."""

from typing import Annotated

from pydantic import AfterValidator

from ..models.types import ThreadId


def _path_segment(value: str) -> str:
    """Return the id of a thread. Raises ValueError for an id that clients remove from paths."""
    if value in (".", ".."):
        raise ValueError("expected another id than `.` and `..`, which no path can have")
    return value


ThreadName = Annotated[ThreadId, AfterValidator(_path_segment)]
