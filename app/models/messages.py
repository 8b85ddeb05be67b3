"""Messages and threads: what is submitted, stored and listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from uuid_utils import uuid7

from .deliveries import WebhookEvent
from .inputs import NO_RUN_INPUT, RunInput
from .types import Moment

DEFAULT_TENANT = "default"

MetadataValue = str | int | float | bool | None
"""A value of metadata: any JSON but arrays and objects."""

NO_METADATA: dict[str, MetadataValue] = {}
"""The metadata of a message that was given none. Do not change it."""


def new_message_id() -> str:
    """Return a UUIDv7: ids made by one process sort in the order in which they were made."""
    return str(uuid7())


class Priority(StrEnum):
    """How urgent a message is. Within one level, first come, first served."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def level(self) -> int:
        """Return 0 for the most urgent level; higher is less urgent."""
        return _LEVELS[self]


_LEVELS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


class MessageState(StrEnum):
    """Where a message is in its life; `app.policy.lifecycle` says what may follow what."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Readiness(StrEnum):
    """Whether a queued message may be claimed: only those that are ready may."""

    READY = "ready"
    BLOCKED = "blocked"  # an earlier message of its thread is unfinished
    DELAYED = "delayed"  # it is the first unfinished one of its thread, but its time has not come


class IfBusy(StrEnum):
    """The choices of a message that finds unfinished messages in its thread.

    It waits behind them; it is not accepted; or they are cancelled, and what the running one has finished stays in the
    agent's memory, or the agent forgets all that they did.
    """

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class MessageOptions(BaseModel):
    """Options that only the worker reads. None means the server's default. Stores keep them as one JSON text."""

    model_config = ConfigDict(frozen=True)

    max_attempts: int | None = None
    timeout_seconds: float | None = None
    run: RunInput = NO_RUN_INPUT


class NewMessage(NamedTuple):
    """A message that is not yet accepted: what a caller wants, then `id` and `tenant`, which the queue manager sets.

    An empty `agent` means the default agent, until the queue manager names it. The message does not run before
    `run_at`, or before `delay_seconds` from now by the store's clock; at most one is given. `webhook_events` None means
    ENDS. `thread_name` None leaves the name of the thread. `aliases` are further ids of the message.
    """

    content: str
    priority: Priority = Priority.NORMAL
    thread_id: str | None = None
    agent: str = ""
    options: MessageOptions | None = None
    run_at: datetime | None = None
    delay_seconds: float = 0.0
    if_busy: IfBusy = IfBusy.ENQUEUE
    webhook_url: str | None = None
    webhook_events: tuple[WebhookEvent, ...] | None = None
    metadata: Mapping[str, MetadataValue] | None = None
    thread_name: str | None = None
    aliases: tuple[str, ...] = ()
    id: str = ""
    tenant: str = DEFAULT_TENANT


class RequestKey(NamedTuple):
    """Identifies a request of a tenant, so that it is carried out once; `fingerprint` identifies its content."""

    tenant: str
    key: str
    fingerprint: str


class Message(NamedTuple):
    """A stored message. `queue_position` is as of the read, None unless queued.

    `number` grows with each accepted or requeued message and is never used again; `thread_number` counts in a thread.
    `run_at` is the earliest start, if one was given. `fingerprint` is the same for failures of one kind.

    `output` is a JSON text: the structured response, or what an agent wrote that answered without text.

    `interrupt` is the question to a human, kept until the message ends or asks again: a JSON array of `{"id",
    "value"}`. `resume_value` is the answer: a JSON object of values by these ids, None until it comes. `rollback` has
    the ids of messages whose steps the agent forgets before it begins. `metadata` is empty if none were given.
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
    readiness: Readiness | None = None
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
    metadata: dict[str, MetadataValue] = NO_METADATA
    queue_position: int | None = None

    @property
    def memory_key(self) -> str:
        """Return the name under which the agent's memory of the conversation is kept."""
        return self.memory_key_of(self.tenant, self.thread_id, self.id)

    @staticmethod
    def memory_key_of(tenant: str, thread_id: str | None, message_id: str) -> str:
        """Return the name under which the agent's memory of a conversation is kept, never a client's raw value."""
        return f"{tenant}/message/{message_id}" if thread_id is None else f"{tenant}/thread/{thread_id}"


class Alias(NamedTuple):
    """The message that an alias names. `first_event` is the id of the first event that belongs to the alias.

    It is 0 for an alias from the submit. For an alias from a resume, it is the id of the event `resumed`.
    """

    message_id: str
    first_event: int


class Thread(BaseModel):
    """A conversation: its counts and times. `states` has every state, `last_number` is that of its newest message.

    `metadata` has each key's newest value in the metadata of its messages. A value of null removes the key.
    """

    model_config = ConfigDict(frozen=True)

    thread_id: str
    last_number: int
    message_count: int
    created_at: Moment
    last_activity: Moment
    last_message_preview: str
    states: dict[MessageState, int]
    name: str | None = None
    metadata: dict[str, MetadataValue] = {}


class Accepted(NamedTuple):
    """The messages that a request stored, in its order; `replayed` when an earlier request with its key stored them."""

    messages: list[Message]
    replayed: bool


class DeadLetterGroup(BaseModel):
    """Failed messages of one kind; `error` is the newest message's error."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    count: int
    error: str
    error_code: str
    first_failed_at: Moment
    last_failed_at: Moment


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Selects messages that match all given fields.

    `metadata` has texts by key: `42` matches the number 42 and the text "42". `true`, `false` and `null` likewise match
    the value and the text.
    """

    states: frozenset[MessageState] | None = None
    thread_id: str | None = None
    agent: str | None = None
    priority: Priority | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    metadata: Mapping[str, str] | None = None


class QueueSummary(NamedTuple):
    """The queue at one moment: totals by state, the first queued messages in claim order, what is being processed."""

    totals: dict[MessageState, int]
    queued: tuple[Message, ...]
    processing: tuple[Message, ...]


class Page(NamedTuple):
    """A page of a listing: `limit` rows after `cursor` (None for the start)."""

    limit: int
    cursor: tuple[int, str] | None = None
