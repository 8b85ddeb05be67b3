"""Collects the tokens of an attempt, call by call. Pure."""

from collections.abc import Mapping
from threading import Lock
from typing import Any

from ..models.usage import CallUsage


class TokenUsage:
    """The model calls of an attempt that nobody has taken yet, as their providers report them. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: list[CallUsage] = []

    @property
    def pending(self) -> bool:
        """Return whether there is a call to take."""
        return bool(self._calls)

    def add(self, model: str, counts: Mapping[str, Any], provider: str = "") -> None:
        """Add the token counts of one model call."""
        with self._lock:
            self._calls.append(CallUsage(model, provider, counts))

    def take(self) -> list[CallUsage]:
        """Return the calls since the last `take`, in order. Nobody else gets them."""
        with self._lock:
            calls, self._calls = self._calls, []
        return calls
