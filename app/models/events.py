"""The events of a message's log."""

import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from ..text import rfc3339, storable_json
from .messages import MessageState
from .parts import ChunkType


class EventType(StrEnum):
    """Types of stored events. A log has exactly one terminal event, its last."""

    PROCESSING = "processing"
    CHUNK = "chunk"
    RETRY = "retry"
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


TERMINAL_EVENTS = frozenset({EventType.DONE, EventType.ERROR, EventType.CANCELLED})


class NewEvent(NamedTuple):
    """An event to be appended; `data` is one line of JSON in ASCII, so that no reader can take it for two lines."""

    type: EventType
    data: str

    @classmethod
    def of(cls, type: EventType, /, **fields: object) -> Self:
        """Return an event of this type with these fields, in this order."""
        return cls(type, json.dumps(fields))

    @classmethod
    def processing(cls, attempt: int) -> Self:
        """Return the event that says a worker has begun this attempt."""
        return cls.of(EventType.PROCESSING, state=MessageState.PROCESSING, attempt=attempt)

    @classmethod
    def chunk(cls, type: ChunkType, chunk: object, index: int, **more: object) -> Self:
        """Return a piece of the answer; `index` counts from 0 in the attempt. `more` may name `message` and `node`."""
        return cls.of(EventType.CHUNK, type=type, chunk=storable_json(chunk), index=index, **more)

    @classmethod
    def retry(cls, *, attempt: int, error: str, next_at: datetime, discard_from: int) -> Self:
        """Return the end of an attempt without a result; readers drop the events from id `discard_from` on."""
        return cls.of(
            EventType.RETRY,
            state=MessageState.QUEUED,
            attempt=attempt,
            error=error,
            next_at=rfc3339(next_at),
            discard_from=discard_from,
        )

    @classmethod
    def interrupted(cls, *, attempt: int, interrupts: str, expires_at: datetime) -> Self:
        """Return the event that says that the agent asks a human. `interrupts` has the form of `Message.interrupt`."""
        return cls.of(
            EventType.INTERRUPTED,
            state=MessageState.INTERRUPTED,
            attempt=attempt,
            interrupts=json.loads(interrupts),
            expires_at=rfc3339(expires_at),
        )

    @classmethod
    def resumed(cls, *, discard_from: int) -> Self:
        """Return the event that the answer came.

        The step that asked is run again, so readers drop the events from id `discard_from` on.
        """
        return cls.of(EventType.RESUMED, state=MessageState.QUEUED, discard_from=discard_from)

    @classmethod
    def done(cls, result: str, completed_at: datetime, output: str | None = None) -> Self:
        """Return the event that the message is completed; `output` as in `Message`, left out if None."""
        more = {} if output is None else {"output": json.loads(output)}
        at = rfc3339(completed_at)
        return cls.of(EventType.DONE, state=MessageState.COMPLETED, result=result, completed_at=at, **more)

    @classmethod
    def failed(cls, error: str, code: str, completed_at: datetime) -> Self:
        """Return the event that the message has failed."""
        return cls.of(
            EventType.ERROR, state=MessageState.FAILED, error=error, code=code, completed_at=rfc3339(completed_at)
        )

    @classmethod
    def cancelled(cls, completed_at: datetime) -> Self:
        """Return the event that the message was cancelled."""
        return cls.of(EventType.CANCELLED, state=MessageState.CANCELLED, completed_at=rfc3339(completed_at))


class Event(NamedTuple):
    """A stored event; `id` counts 1..n within its message, without gaps."""

    id: int
    type: EventType
    data: str


class EventPage(NamedTuple):
    """A part of one message's log and the message's state, read in one snapshot.

    `last` is the id of the newest event (0 for none), `first` the id of the oldest kept event.
    """

    events: Sequence[Event]
    first: int
    last: int
    state: MessageState
