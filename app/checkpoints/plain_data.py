"""Plain data of objects whose classes are not allowed. It is stored again as the objects.

A process without the setting therefore changes nothing for a process with the setting.
"""

from collections.abc import Callable
from typing import Any, cast


class PlainData:
    """Plain data that knows its object."""

    origin: tuple[int, str, str, tuple[str, ...]]

    @classmethod
    def of(cls, payload: Any, origin: tuple[int, str, str, tuple[str, ...]]) -> Any:
        """Return the data with the mark: code, module, name and method of the object."""
        made: Any = cast(Any, cls)(payload)
        made.origin = origin
        return made


class PlainDict(PlainData, dict[str, Any]):
    """The fields of an object."""


class PlainList(PlainData, list[Any]):
    """The arguments of an object, or its items."""


class PlainText(PlainData, str):  # noqa: SLOT000  instances have the mark
    """The text, or the value of a member of an enum."""


class PlainInt(PlainData, int):
    """The value of a member of an enum."""


class PlainFloat(PlainData, float):
    """The value of a member of an enum."""


PLAIN: dict[type, type[PlainData]] = {
    dict: PlainDict,
    list: PlainList,
    str: PlainText,
    int: PlainInt,
    float: PlainFloat,
}


def bare(value: Any) -> Any:
    """Return a value of a subclass as its built-in class; any other value unchanged."""
    for kind in PLAIN:
        if isinstance(value, kind):
            return BARE[kind](value)
    return value


BARE: dict[type, Callable[[Any], Any]] = {
    dict: dict, list: list, str: str.__str__, int: int.__int__, float: float.__float__
}  # fmt: skip
"""A subclass may have methods of its own under these names."""
