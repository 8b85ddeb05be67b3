"""Finds the part of a large JSON value in which it first breaks its schema. Pure.

A validator says in a millisecond whether a megabyte is valid. But to name one error, it makes all of perhaps 100,000,
which takes seconds. A shorter value has fewer errors.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

LONG_ARRAY = 16
LONG_OBJECT = 100
"""Arrays and objects with more entries are cut."""

Path = tuple[str | int, ...]
Fits = Callable[[Any], bool]


class FirstFault:
    """A value that does not fit, cut to a `value` that does not fit either and is small if possible.

    `fits` returns whether a value fits.
    """

    def __init__(self, value: Any, fits: Fits) -> None:
        self._skipped: dict[Path, int] = {}
        """How many entries are missing at the beginning of an array, by the array's place."""
        self.value = self._cut(value, fits, ())

    def place_of(self, path: Sequence[str | int]) -> list[str | int]:
        """Return the place in the uncut value for a place in `value`."""
        return [
            part + self._skipped.get(tuple(path[:depth]), 0) if isinstance(part, int) else part
            for depth, part in enumerate(path)
        ]

    def _cut(self, value: Any, fits: Fits, path: Path) -> Any:
        """Return a part of `value` that does not fit in its place. `fits` returns whether the whole then fits."""
        if isinstance(value, list):
            items = self._array(value, fits, path)
            for index, item in enumerate(items):
                items[index] = self._cut(item, _within(items, index, fits), (*path, index))
            return items
        if isinstance(value, dict):
            fields = _beginning(value, LONG_OBJECT, fits)
            for key, item in fields.items():
                fields[key] = self._cut(item, _within(fields, key, fits), (*path, key))
            return fields
        return value

    def _array(self, items: list[Any], fits: Fits, path: Path) -> list[Any]:
        if len(items) <= LONG_ARRAY or not fits(items[:LONG_ARRAY]):
            return items[:LONG_ARRAY]
        fitting, wrong = LONG_ARRAY, len(items)  # the fault is behind the first items
        while wrong - fitting > 1:
            middle = (fitting + wrong) // 2
            fitting, wrong = (middle, wrong) if fits(items[:middle]) else (fitting, middle)
        last = items[wrong - LONG_ARRAY : wrong]
        if fits(last):  # the fault is the length of the array, or entries that are alike
            return items[:wrong]
        self._skipped[path] = wrong - LONG_ARRAY
        return last


def _beginning(fields: dict[str, Any], count: int, fits: Fits) -> dict[str, Any]:
    if len(fields) <= count:
        return dict(fields)
    fitting, wrong = 0, count
    while wrong < len(fields) and fits(dict(islice(fields.items(), wrong))):
        fitting, wrong = wrong, 2 * wrong
    last = dict(islice(fields.items(), fitting, wrong))
    return dict(fields) if fits(last) else last


def _within(around: Any, key: Any, fits: Fits) -> Fits:
    """Return a function that puts a value into a copy of `around` and returns whether the whole then fits."""

    def fits_there(value: Any) -> bool:
        changed = around.copy()
        changed[key] = value
        return fits(changed)

    return fits_there
