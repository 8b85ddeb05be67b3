"""Requests of callers and operators, as the queue manager takes them."""

from dataclasses import dataclass, field
from typing import NamedTuple

from .messages import MessageFilter

Key = tuple[str, str]
"""An Idempotency-Key, and the fingerprint of the request that it came with."""


@dataclass(frozen=True)
class Selection:
    """Messages by their ids, or by what they have and how many the caller believes them to be."""

    message_ids: tuple[str, ...] | None = None
    chosen: MessageFilter = field(default_factory=MessageFilter)
    expected_count: int | None = None


class ResumeAnswer(NamedTuple):
    """To what an interrupted message asks: a value for its only question, or one for each question by its id."""

    value: object = None
    values: dict[str, object] | None = None


class CancelledMessages(NamedTuple):
    """What became of many: those that have ended, and those that are being stopped."""

    ended: list[str]
    stopping: list[str]
