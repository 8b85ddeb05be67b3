"""Requests of callers and operators, in the form that the queue manager takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .messages import IfBusy, Message, MessageFilter, MessageOptions, MetadataValue, NewMessage, Priority

Key = tuple[str, str]
"""An Idempotency-Key and the fingerprint of its request."""


@dataclass(frozen=True)
class Selection:
    """Selects messages by their ids, or by a filter and the number of matches that the caller expects."""

    message_ids: tuple[str, ...] | None = None
    chosen: MessageFilter = field(default_factory=MessageFilter)
    expected_count: int | None = None


class ResumeAnswer(NamedTuple):
    """The answer to an interrupted message: one value for its only question, or a value for each question's id.

    `alias` is a further id of the message, from the answer on. `for_all` is for an alias that this server makes: who
    may see the message may use it. An alias that the caller gave is theirs.
    """

    value: object = None
    values: dict[str, object] | None = None
    alias: str | None = None
    for_all: bool = False


class CancelledMessages(NamedTuple):
    """The result of a bulk cancel: the ids of ended messages, and the ids of messages that are being stopped."""

    ended: list[str]
    stopping: list[str]


class Fork(NamedTuple):
    """A new thread from the state of another one: at a checkpoint, after a message, or by default the newest state.

    `thread_id` is the id of the new thread. None makes one.
    """

    checkpoint_id: str | None = None
    message_id: str | None = None
    thread_id: str | None = None
    name: str | None = None
    metadata: Mapping[str, MetadataValue] | None = None


class ThreadCreation(NamedTuple):
    """A thread without messages. `thread_id` None makes an id. `subject` None means the caller's, if they have one.

    With `keeps_existing`, a thread that has this id already is returned as it is. `ttl` is in minutes.
    """

    thread_id: str | None = None
    name: str | None = None
    metadata: Mapping[str, MetadataValue] | None = None
    subject: str | None = None
    keeps_existing: bool = False
    ttl: float | None = None


class Regeneration(NamedTuple):
    """The fields of a message that replaces another one. None means as the replaced message."""

    priority: Priority | None = None
    if_busy: IfBusy = IfBusy.REJECT
    metadata: Mapping[str, MetadataValue] | None = None
    content: str | None = None
    options: MessageOptions | None = None

    def again(self, message: Message) -> NewMessage:
        """Return the message that replaces this one."""
        return NewMessage(
            content=message.content if self.content is None else self.content,
            priority=self.priority or message.priority,
            thread_id=message.thread_id,
            agent=message.agent,
            options=self.options or message.options,
            webhook_url=message.webhook_url,
            webhook_events=message.webhook_events,
            webhook_key=message.webhook_key,
            metadata=message.metadata or None if self.metadata is None else self.metadata,
            subject=message.subject,
        )
