"""Requests of callers and operators, as the queue manager takes them."""

from dataclasses import dataclass, field
from typing import NamedTuple

from .messages import MessageFilter

Key = tuple[str, str]
"""An Idempotency-Key, and the fingerprint of the request that it came with."""


@dataclass(frozen=True)
class Selection:
    """Messages by their ids, or by a filter and the number that the caller expects."""

    message_ids: tuple[str, ...] | None = None
    chosen: MessageFilter = field(default_factory=MessageFilter)
    expected_count: int | None = None


class ResumeAnswer(NamedTuple):
    """The answer to an interrupted message: a value for its only question, or a value for each question by its id."""

    value: object = None
    values: dict[str, object] | None = None


class CancelledMessages(NamedTuple):
    """The result of a bulk cancel: the ids of messages that have ended, and of those that are being stopped."""

    ended: list[str]
    stopping: list[str]
