"""The words of the domain: messages, threads, leases, events, outcomes. No I/O and no HTTP."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints
from uuid_utils import uuid7

from app.failures import FailureDetails
from app.parts import ChunkType
from app.serving import ServedAgent
from app.text import rfc3339, storable, storable_json

THREAD_ID_MAX_LENGTH = 255
DEFAULT_TENANT = "default"
MEMORY_FENCE_KEY = "__attempt_fence"
"""In a run's `configurable`: the attempt's right to write to the agent's memory. LangGraph does not store `__` keys."""

MEMORY_KEEP_KEY = "__keep_read"
"""There too, for what an attempt reads before its run: a list that takes what was found at the conversation's end."""

MEMORY_KEPT_KEY = "__kept_read"
"""There too, for the run: that list, from which it takes its first read."""

MEMORY_ANSWERS_KEY = "__answers"
"""There too, for the run: a dictionary in which the memory notes the humans' answers that each task has taken."""


def new_message_id() -> str:
    """A UUIDv7: ids made by one process sort in the order in which they were made."""
    return str(uuid7())


Text = Annotated[str, StringConstraints(strict=True), AfterValidator(storable)]
ThreadId = Annotated[Text, Field(min_length=1, max_length=THREAD_ID_MAX_LENGTH)]
Moment = Annotated[AwareDatetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class Priority(StrEnum):
    """How urgent a message is. Within one level, first come, first served."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def level(self) -> int:
        """0 for the most urgent; the unit in which ranks are apart."""
        return _LEVELS[self]


_LEVELS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


class MessageState(StrEnum):
    """Where a message is in its life; `app.lifecycle` says what may follow what."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Place(StrEnum):
    """Where a queued message is. Only those that are ready may be claimed."""

    READY = "ready"
    BEHIND = "behind"  # an earlier message of its thread is unfinished
    DELAYED = "delayed"  # it is the first unfinished one of its thread, but its time has not come


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


class WebhookEvent(StrEnum):
    """A state of a message that its webhook can be told of."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


ENDS = (WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED)
"""The default of `webhook_events`."""


class IfBusy(StrEnum):
    """What a message does that finds unfinished messages in its thread.

    It waits behind them; it is not accepted; or they are cancelled, and what the running one has finished stays in the
    agent's memory, or the agent forgets all that they did.
    """

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class MessageOptions(BaseModel):
    """What only whoever runs a message has to know. None: as the settings say. Stores keep it as one JSON text."""

    model_config = ConfigDict(frozen=True)

    max_attempts: int | None = None
    timeout_seconds: float | None = None


class NewMessage(NamedTuple):
    """A message as it is handed to the store, not yet accepted.

    It is not run before `run_at`, or `delay_seconds` from now by the clock of the store; at most one is given.
    `webhook_events` is what the URL is told of; None means ENDS.
    """

    id: str
    tenant: str
    thread_id: str | None
    agent: str
    content: str
    priority: Priority
    options: MessageOptions | None = None
    run_at: datetime | None = None
    delay_seconds: float = 0.0
    if_busy: IfBusy = IfBusy.ENQUEUE
    webhook_url: str | None = None
    webhook_events: tuple[WebhookEvent, ...] | None = None


class RequestKey(NamedTuple):
    """Names a request of a tenant, so that it is carried out once; `fingerprint` tells another request from it."""

    tenant: str
    key: str
    fingerprint: str


class Message(NamedTuple):
    """A stored message. `queue_position` is a figure of the moment, None unless queued.

    `number` grows from each accepted or requeued message to the next and is never used again; `thread_number` counts in
    a thread. `run_at` is set where a message was not to run before. `fingerprint` is the same for failures of one kind.

    `output` is a JSON text, the structured response or what an agent wrote that answered without text.

    `interrupt` is what a human is asked, kept until the message ends or asks again: a JSON array of `{"id", "value"}`.
    `resume_value` is the answer, a JSON object of values by those ids, None while there is none. `rollback` has the ids
    of messages whose steps the agent forgets before it begins.
    """

    number: int
    id: str
    tenant: str
    thread_id: str | None
    thread_number: int
    agent: str
    content: str
    priority: Priority
    state: MessageState
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    result: str | None
    error: str | None
    error_code: str | None
    attempt: int
    fence: int
    options: MessageOptions = MessageOptions()
    place: Place | None = None
    run_at: datetime | None = None
    crashes: int = 0
    cancel_requested: bool = False
    fingerprint: str | None = None
    interrupt: str | None = None
    interrupt_expires_at: datetime | None = None
    resume_value: str | None = None
    rollback: tuple[str, ...] = ()
    webhook_url: str | None = None
    output: str | None = None
    webhook_events: tuple[WebhookEvent, ...] | None = None
    queue_position: int | None = None

    @property
    def memory_key(self) -> str:
        """See `memory_key_of`."""
        return self.memory_key_of(self.tenant, self.thread_id, self.id)

    @staticmethod
    def memory_key_of(tenant: str, thread_id: str | None, message_id: str) -> str:
        """The name under which the agent's memory of a conversation is kept, never a client's raw value."""
        return f"{tenant}/message/{message_id}" if thread_id is None else f"{tenant}/thread/{thread_id}"


class Thread(BaseModel):
    """A conversation: its counts and times. `states` has every state, `last_number` is that of its newest message."""

    model_config = ConfigDict(frozen=True)

    thread_id: str
    last_number: int
    message_count: int
    created_at: Moment
    last_activity: Moment
    last_message_preview: str
    states: dict[MessageState, int]


class Accepted(NamedTuple):
    """What a request stored, in its order; `replayed` when an earlier request with the same key had stored it."""

    messages: list[Message]
    replayed: bool


class AttemptEnd(BaseModel):
    """Whose attempt it was, when, and what ended it."""

    attempt: int
    worker_id: str
    started_at: Moment
    ended_at: Moment
    error: str
    error_code: str


class FailedAttempt(FailureDetails, AttemptEnd):
    """An attempt that ended without a result."""


class DeadLetterGroup(BaseModel):
    """Failed messages of one kind; `error` is that of the newest."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    count: int
    error: str
    error_code: str
    first_failed_at: Moment
    last_failed_at: Moment


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages are meant: those that have all of what is given."""

    states: frozenset[MessageState] | None = None
    thread_id: str | None = None
    agent: str | None = None
    priority: Priority | None = None
    error_code: str | None = None
    fingerprint: str | None = None


class QueueSummary(NamedTuple):
    """The queue at one moment: totals by state, the first queued messages in claim order, what is being processed."""

    totals: dict[MessageState, int]
    queued: tuple[Message, ...]
    processing: tuple[Message, ...]


class Lease(NamedTuple):
    """A worker's right to one attempt. Every write of the attempt carries it; `fence` proves it."""

    message_id: str
    fence: int
    attempt: int
    worker_id: str


class Claim(NamedTuple):
    """A message that a worker has taken, with its right to it."""

    lease: Lease
    message: Message


class NewEvent(NamedTuple):
    """An event to be appended; `data` is one line of JSON in ASCII, so that no reader can take it for two lines."""

    type: EventType
    data: str

    @classmethod
    def of(cls, type: EventType, /, **fields: object) -> Self:
        """An event of this type with these fields, in this order."""
        return cls(type, json.dumps(fields))

    @classmethod
    def processing(cls, attempt: int) -> Self:
        """A worker has begun this attempt."""
        return cls.of(EventType.PROCESSING, state=MessageState.PROCESSING, attempt=attempt)

    @classmethod
    def chunk(cls, type: ChunkType, chunk: object, index: int, **more: object) -> Self:
        """A piece of the answer; `index` counts from 0 within the attempt. `more` may name `message` and `node`."""
        return cls.of(EventType.CHUNK, type=type, chunk=storable_json(chunk), index=index, **more)

    @classmethod
    def retry(cls, *, attempt: int, error: str, next_at: datetime, discard_from: int) -> Self:
        """The attempt is over without a result; readers drop the events from id `discard_from` on."""
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
        """The agent asks a human; `interrupts` as in `Message.interrupt`."""
        return cls.of(
            EventType.INTERRUPTED,
            state=MessageState.INTERRUPTED,
            attempt=attempt,
            interrupts=json.loads(interrupts),
            expires_at=rfc3339(expires_at),
        )

    @classmethod
    def resumed(cls, *, discard_from: int) -> Self:
        """The answer came. The step that asked is run again, so readers drop the events from id `discard_from` on."""
        return cls.of(EventType.RESUMED, state=MessageState.QUEUED, discard_from=discard_from)

    @classmethod
    def done(cls, result: str, completed_at: datetime, output: str | None = None) -> Self:
        """The message is completed; `output` as in `Message`, left out where there is none."""
        more = {} if output is None else {"output": json.loads(output)}
        at = rfc3339(completed_at)
        return cls.of(EventType.DONE, state=MessageState.COMPLETED, result=result, completed_at=at, **more)

    @classmethod
    def failed(cls, error: str, code: str, completed_at: datetime) -> Self:
        """The message has failed."""
        return cls.of(
            EventType.ERROR, state=MessageState.FAILED, error=error, code=code, completed_at=rfc3339(completed_at)
        )

    @classmethod
    def cancelled(cls, completed_at: datetime) -> Self:
        """The message was cancelled."""
        return cls.of(EventType.CANCELLED, state=MessageState.CANCELLED, completed_at=rfc3339(completed_at))


class Event(NamedTuple):
    """A stored event; `id` counts 1..n within its message, without gaps."""

    id: int
    type: EventType
    data: str


class EventPage(NamedTuple):
    """A part of one message's log and the message's state, read in one snapshot.

    `last` is the id of the newest event (0 for none), `first` the oldest one that is still kept.
    """

    events: Sequence[Event]
    first: int
    last: int
    state: MessageState


@dataclass(frozen=True, slots=True)
class Completed:
    """The agent answered; `output` as in `Message`."""

    result: str
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The message failed for good. `error` is safe to show, `code` is stable, `fingerprint` is that of its kind."""

    error: str
    code: str
    fingerprint: str = ""
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; the next one is in `delay` seconds. The words are those of `Failed`."""

    error: str
    code: str
    delay: float
    details: FailureDetails | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The agent asks a human `interrupts`, as in `Message`, for `ttl_seconds`; the attempt is not counted."""

    interrupts: str
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The run was stopped because somebody cancelled the message."""


@dataclass(frozen=True, slots=True)
class Released:
    """The worker gives the message back, to be claimed in `delay` seconds; the attempt is not counted."""

    reason: str
    delay: float = 0.0


Outcome = Completed | Failed | Retry | Interrupted | Cancelled | Released


class Beat(NamedTuple):
    """The answer to a heartbeat: the fences that hold, by message id, and which of these messages are cancelled."""

    held: dict[str, int]
    cancelled: frozenset[str]


class Worker(BaseModel):
    """A process that claims messages, as of its last heartbeat. `agents` is None where it does not tell them."""

    model_config = ConfigDict(frozen=True)

    id: str
    host: str
    pid: int
    slots: int
    started_at: Moment
    last_beat: Moment
    agents: tuple[ServedAgent, ...] | None = None


class Page(NamedTuple):
    """Where a listing goes on: `limit` rows after `cursor` (None for the start)."""

    limit: int
    cursor: tuple[int, str] | None = None
