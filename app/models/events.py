"""The events of a message's log."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from ..text import rfc3339, storable_json
from .messages import MessageState
from .parts import OBJECT_PARTS, ChunkType, EventPart
from .usage import MeteredCall, Tokens, add_counts


class EventType(StrEnum):
    """Types of stored events. A finished log has exactly one terminal event, its last event."""

    PROCESSING = "processing"
    VERSION = "version"
    CHUNK = "chunk"
    RETRY = "retry"
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    CUSTOM = "custom"
    NODE = "node"
    VALUES = "values"
    UPDATES = "updates"
    MESSAGES = "messages"
    TASKS = "tasks"
    CHECKPOINTS = "checkpoints"
    DEBUG = "debug"
    USAGE = "usage"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"


EVENT_TYPES = MappingProxyType({each.value: each for each in EventType})
"""The types by their names, for logs: a look-up takes a tenth of the time of a call of `EventType`."""

TERMINAL_EVENTS = frozenset({EventType.DONE, EventType.ERROR, EventType.CANCELLED})


class NewEvent(NamedTuple):
    """An event that is not yet stored. `data` is JSON in ASCII on one line, so that no reader can split it."""

    type: EventType
    data: str

    @classmethod
    def of(cls, type: EventType, /, **fields: object) -> Self:
        """Return an event of this type, with its fields in the given order."""
        return cls(type, json.dumps(fields))

    @classmethod
    def processing(cls, attempt: int) -> Self:
        """Return the event that reports that a worker has begun this attempt."""
        return cls.of(EventType.PROCESSING, state=MessageState.PROCESSING, attempt=attempt)

    @classmethod
    def version(cls, before: str, after: str) -> Self:
        """Return the event for a message that goes on with another version of its agent, an empty `after` with any."""
        return cls.of(EventType.VERSION, state=MessageState.QUEUED, **{"from": before, "to": after or None})

    @classmethod
    def chunk(cls, type: ChunkType, chunk: object, index: int, **more: object) -> Self:
        """Return the event for a part of the answer.

        `index` counts from 0 in the attempt. `more` has fields such as `node`.
        """
        return cls.of(EventType.CHUNK, type=type, chunk=storable_json(chunk), index=index, **more)

    @classmethod
    def shown(cls, type: EventPart, content: object, *, path: Sequence[str] = (), **more: object) -> Self:
        """Return an event that a run shows besides the answer.

        The entries of `node` become fields of the event. Other content becomes one field: `data` for `custom`, else
        the type's name.
        """
        fields = {"data" if type == "custom" else type: content}
        if type in OBJECT_PARTS and isinstance(content, dict):
            fields = content
        return cls.of(EventType(type), **fields, **({"path": path} if path else {}), **more)

    @classmethod
    def usage(cls, calls: Iterable[MeteredCall]) -> Self:
        """Return the event for model calls: by model, the sums of the providers' counts, and the cost."""
        counts: dict[str, dict[str, Any]] = {}
        tokens: dict[str, Tokens] = {}
        for call in calls:
            model = call.usage.model
            add_counts(counts.setdefault(model, {}), call.counts)
            tokens[model] = tokens.get(model, Tokens()).plus(call.usage.tokens)
        priced = {
            model: {"calls": each.calls, "cost": each.cost, "cost_complete": each.cost_complete}
            for model, each in tokens.items()
        }
        return cls.of(EventType.USAGE, models={model: {**counts[model], **priced[model]} for model in counts})

    @classmethod
    def retry(cls, *, attempt: int, error: str, next_at: datetime, discard_from: int) -> Self:
        """Return the event for a message that is queued again after an attempt without a result.

        `attempt` is the number of that attempt, and `error` says why it ended. The next attempt begins at `next_at` at
        the earliest. Readers drop the events from the id `discard_from` on.
        """
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
        """Return the event for a message whose agent asks a human.

        `interrupts` has the questions in the form of `Message.interrupt`. The message fails if nobody answers before
        `expires_at`.
        """
        return cls.of(
            EventType.INTERRUPTED,
            state=MessageState.INTERRUPTED,
            attempt=attempt,
            interrupts=json.loads(interrupts),
            expires_at=rfc3339(expires_at),
        )

    @classmethod
    def resumed(cls, *, discard_from: int, answers: str) -> Self:
        """Return the event for the human's answers, a JSON object of values by the ids of the questions.

        The step that asked runs again, so readers drop the events from the id `discard_from` on.
        """
        given = json.loads(answers)
        return cls.of(EventType.RESUMED, state=MessageState.QUEUED, discard_from=discard_from, answers=given)

    @classmethod
    def done(cls, result: str, completed_at: datetime, output: str | None = None) -> Self:
        """Return the event for a completed message. `output` has the form of `Message.output`; None leaves it out."""
        more = {} if output is None else {"output": json.loads(output)}
        at = rfc3339(completed_at)
        return cls.of(EventType.DONE, state=MessageState.COMPLETED, result=result, completed_at=at, **more)

    @classmethod
    def failed(cls, error: str, code: str, completed_at: datetime) -> Self:
        """Return the event for a failed message. `code` is the kind of failure, such as `rate_limited`."""
        return cls.of(
            EventType.ERROR, state=MessageState.FAILED, error=error, code=code, completed_at=rfc3339(completed_at)
        )

    @classmethod
    def cancelled(cls, completed_at: datetime) -> Self:
        """Return the event for a cancelled message."""
        return cls.of(EventType.CANCELLED, state=MessageState.CANCELLED, completed_at=rfc3339(completed_at))


class Event(NamedTuple):
    """A stored event. `id` counts from 1 within its message, without gaps.

    `at` is the store's time of the append, in milliseconds since the epoch. All events of one append have the same.
    """

    id: int
    type: EventType
    data: str
    at: int


class EventPage(NamedTuple):
    """Events of one message's log and the message's state, read in one snapshot.

    `first` is the id of the oldest event that is kept. `last` is the id of the newest event, 0 if there is none.
    """

    events: Sequence[Event]
    first: int
    last: int
    state: MessageState
