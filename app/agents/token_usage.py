"""Counts the tokens of an attempt by model. Pure."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

Counts = dict[str, Any]
"""Numbers by name; groups of numbers, such as `input_token_details`, are objects of the same form."""


class TokenUsage:
    """The tokens of an attempt, as the providers report them. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._models: dict[str, Counts] = {}

    def add(self, model: str, counts: Mapping[str, Any]) -> None:
        """Add the token counts of one model call to the counts of this model."""
        with self._lock:
            _add(self._models.setdefault(model, {}), counts)

    @property
    def models(self) -> dict[str, Counts]:
        """Return the counts by model; empty if no provider reports any."""
        with self._lock:
            return {model: dict(counts) for model, counts in self._models.items()}


def _add(total: Counts, counts: Mapping[str, Any]) -> None:
    for name, count in counts.items():
        if isinstance(count, Mapping):
            _add(total.setdefault(name, {}), count)
        elif isinstance(count, int | float):
            total[name] = total.get(name, 0) + count
