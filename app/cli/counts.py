"""Options that give limits and quotas as NAME=N."""

from collections.abc import Callable, Sequence
from typing import Any

import typer

from ..models.tenants import MAX_COUNT

DEFAULT = "default"
"""The value that gives a setting its default."""

Given = tuple[str, Any]
"""The name of a setting and its value. None gives it its default."""


def count_of(names: Sequence[str], least: int) -> Callable[[str], Given]:
    """Return a parser of NAME=N with one of these names, N at least `least`."""

    def count_of(given: str) -> Given:
        name, _, value = given.partition("=")
        if name not in names:
            raise typer.BadParameter(f"expected NAME=N with one of the names {', '.join(names)}")
        if value == DEFAULT:
            return name, None
        if not value.isascii() or not value.isdecimal() or not least <= int(value[:20]) <= MAX_COUNT:
            raise typer.BadParameter(f"{name}: expected a whole number from {least} to {MAX_COUNT:,}, or {DEFAULT}")
        return name, int(value)

    return count_of
