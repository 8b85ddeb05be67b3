"""Rows of limits. `AcceptStore.add` counts in them."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class LimitStore(Protocol):
    """Reads and deletes the rows of limits (tests/contract/test_limits.py)."""

    async def limit_values(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return the values of rows by name, as `app.policy.limits` describes them. Missing rows are left out."""

    async def prune_limits(self) -> None:
        """Delete rows that are out of use."""
