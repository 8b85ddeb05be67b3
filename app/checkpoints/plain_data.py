"""Plain data in place of objects whose classes are not allowed. When saved, it is encoded as the objects again.

A process that does not allow the classes therefore changes nothing for a process that does.
"""

from collections.abc import Callable
from typing import Any, cast


class PlainData:
    """Plain data that remembers its object. `origin` has code, module, name and method of the msgpack extension."""

    origin: tuple[int, str, str, tuple[str, ...]]

    @classmethod
    def of(cls, payload: Any, origin: tuple[int, str, str, tuple[str, ...]]) -> Any:
        """Return `payload` as plain data with this origin."""
        made: Any = cast(Any, cls)(payload)
        made.origin = origin
        return made


class PlainDict(PlainData, dict[str, Any]):
    """A dict of an object's fields, in place of the object."""


class PlainList(PlainData, list[Any]):
    """A list of an object's arguments or items, in place of the object."""


class PlainText(PlainData, str):  # noqa: SLOT000  instances have the mark
    """A text in place of an object, or the text value of an enum member."""


class PlainInt(PlainData, int):
    """The integer value of an enum member."""


class PlainFloat(PlainData, float):
    """The float value of an enum member."""


PLAIN: dict[type, type[PlainData]] = {
    dict: PlainDict,
    list: PlainList,
    str: PlainText,
    int: PlainInt,
    float: PlainFloat,
}


def bare(value: Any) -> Any:
    """Return a value of a subclass converted to its built-in class; return other values unchanged."""
    for kind in PLAIN:
        if isinstance(value, kind):
            return BARE[kind](value)
    return value


BARE: dict[type, Callable[[Any], Any]] = {
    dict: dict, list: list, str: str.__str__, int: int.__int__, float: float.__float__
}  # fmt: skip
"""Conversions to built-in classes. `str(value)` would call a subclass's own `__str__`."""
