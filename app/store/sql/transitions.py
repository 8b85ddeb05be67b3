"""Reads the log of changes: the part that both SQL stores share."""

from collections.abc import Sequence
from typing import Any

from ...models.transitions import Transition, TransitionType


def to_transition(cursor: str, row: Sequence[Any]) -> Transition:
    """Return the change in a row of `read_transitions`, which begins with its time."""
    at, tenant, kind, *fields = row
    return Transition(cursor, at, tenant, TransitionType(kind), *(field or None for field in fields))
