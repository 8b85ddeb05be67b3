"""Messages and threads: what is submitted, stored and listed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from uuid_utils import uuid7

from .deliveries import Receiver, WebhookEvent, WebhookForm
from .inputs import NO_RUN_INPUT, RunInput
from .limits import Counted
from .threads import ForkSource, ThreadSort, ThreadStatus
from .types import Moment
from .visibility import EVERYTHING, Visibility

DEFAULT_TENANT = "default"

MetadataValue = str | int | float | bool | None
"""A value of metadata: any JSON but arrays and objects."""

NO_METADATA: dict[str, MetadataValue] = {}
"""The metadata of a message that was given none. Do not change it."""


def new_message_id() -> str:
    """Return a UUIDv7. Ids of one process sort in the order of their creation."""
    return str(uuid7())


class Priority(StrEnum):
    """How urgent a message is. Messages of one priority are served in the order of their submits."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def level(self) -> int:
        """Return the priority as a number. 0 is the most urgent."""
        return _LEVELS[self]


_LEVELS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


class MessageState(StrEnum):
    """The state of a message. `app.policy.lifecycle` has the allowed transitions."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Readiness(StrEnum):
    """Whether a queued message may be claimed. Only `ready` messages may."""

    READY = "ready"
    BLOCKED = "blocked"  # an earlier message of the thread is unfinished
    DELAYED = "delayed"  # it is the head of its thread, but its `run_at` is in the future
    HELD = "held"  # a claim found that its tenant already runs as many messages as it may


class IfBusy(StrEnum):
    """The choices for a new message whose thread has unfinished messages.

    - `enqueue`: it waits behind them.
    - `reject`: it is refused, unless the only unfinished message waits for a human. Then that message is cancelled.
    - `interrupt`: they are cancelled. The agent's memory keeps their finished steps.
    - `rollback`: they are cancelled. The agent forgets all of their steps.
    """

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


class MessageOptions(BaseModel):
    """Options that no query selects by. None means the server's default. Stores keep them as one JSON text.

    Only workers read them, but for two. `surface` has the notes of the surface that took the message, under its name.
    Only that surface reads them. `webhook_form` is for the sender of webhooks.
    """

    model_config = ConfigDict(frozen=True)

    max_attempts: int | None = None
    timeout_seconds: float | None = None
    run: RunInput = NO_RUN_INPUT
    surface: dict[str, Any] | None = None
    webhook_form: WebhookForm = WebhookForm.MESSAGE


class NewMessage(NamedTuple):
    """A message that is not yet accepted. The queue manager sets `id`, `tenant` and `key_id`.

    An empty `agent` means the default agent. The message does not run before `run_at`, or before `delay_seconds` have
    passed by the store's clock; at most one is given. `webhook_events` None means ENDS. `webhook_key` is the id of the
    API key whose secret signs the webhooks; None means the server's secret. `thread_name` None keeps the name of the
    thread. `aliases` are further ids of the message. `rollback` has the ids of messages whose steps the agent forgets
    first. `last_number` is the thread number of the newest message that the caller knows of; None accepts any. Both
    need an `if_busy` other than ENQUEUE. `behind_question` False refuses the message if its thread waits for a human.
    `subject` is the end user for whom the message is; None means the subject of its thread. `key_id` is the API key of
    the caller. `trace` is the text of a `Trace`.
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
    rollback: tuple[str, ...] = ()
    last_number: int | None = None
    behind_question: bool = True
    webhook_key: str | None = None
    subject: str | None = None
    key_id: str | None = None
    trace: str | None = None
    receivers: tuple[Receiver, ...] = ()
    id: str = ""
    tenant: str = DEFAULT_TENANT

    @property
    def checkpoint_id(self) -> str | None:
        """Return the checkpoint at which the run begins; None for the newest one."""
        return None if self.options is None else self.options.run.checkpoint_id


class RequestKey(NamedTuple):
    """The `Idempotency-Key` of a tenant's request. Requests with the same key are carried out once.

    `fingerprint` identifies the content of the request.
    """

    tenant: str
    key: str
    fingerprint: str


class Message(NamedTuple):
    """A stored message. `queue_position` is as of the read, and None unless the message is queued.

    `number` grows with each accepted or requeued message and is never used again. `thread_number` counts within the
    thread. `run_at` is the earliest start. `fingerprint` is the same for failures of one kind.

    `output` is a JSON text: the structured response, or the result of an agent that answered without text.

    `interrupt` has the questions to a human: a JSON array of `{"id", "value"}`. It is kept until the message ends or
    asks again. `resume_value` is the answer: a JSON object with a value for each id. `rollback` has the ids of messages
    whose steps the agent forgets before this message begins. `metadata` is empty if none was given.

    `agent_version` is the version of the agent that began the message and goes on with it. It is None before the first
    attempt, and if the worker named no version. A worker with any version may then claim the message.

    `subject` is the end user to whom the message belongs, None if it belongs to none. It never changes. `key_id` is the
    API key that its submit presented, or that made the submit's token; None without one.

    `receivers` get its events beside the webhook, in the order in which they were added.

    `trace` is the text of a `Trace`; None if the message is in no trace.
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
    agent_version: str | None = None
    webhook_key: str | None = None
    subject: str | None = None
    key_id: str | None = None
    trace: str | None = None
    receivers: tuple[Receiver, ...] = ()
    queue_position: int | None = None

    @property
    def memory_key(self) -> str:
        """Return the key under which the agent's memory of this conversation is stored."""
        return self.memory_key_of(self.tenant, self.thread_id, self.id)

    @staticmethod
    def memory_key_of(tenant: str, thread_id: str | None, message_id: str) -> str:
        """Return the key of an agent's memory: of the thread, or of the message if `thread_id` is None.

        The key begins with the tenant, so no client's raw value is a key. A `/` in the tenant is written as in a URL.
        No two tenants therefore share a key.
        """
        tenant = tenant.replace("%", "%25").replace("/", "%2F")
        return f"{tenant}/message/{message_id}" if thread_id is None else f"{tenant}/thread/{thread_id}"


class Alias(NamedTuple):
    """The message that an alias names. `first_event` is the id of the first event that belongs to the alias.

    `first_event` is 0 for an alias from the submit. For an alias from a resume, it is the id of the event `resumed`.
    """

    message_id: str
    first_event: int


class Thread(BaseModel):
    """A conversation: its times, and its messages counted by each state.

    `last_number` is the thread number of the newest message. `metadata` merges that of its messages and changes: the
    newest value of a key counts, and null removes the key. `subject` is that of its first message and never changes.
    `last_ended` is the state of the message that ended last, None if none has. `ttl` is the number of minutes without
    activity after which the thread is deleted; None stands for the server's setting.
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
    forked_from: ForkSource | None = None
    subject: str | None = None
    ttl: float | None = None
    last_ended: MessageState | None = None

    @property
    def status(self) -> ThreadStatus:
        """Return the state of the conversation."""
        return ThreadStatus.of(self.states, self.last_ended)

    def time(self, by: ThreadSort) -> datetime:
        """Return the time by which a list has the thread in order."""
        return self.created_at if by is ThreadSort.CREATED else self.last_activity


class Accepted(NamedTuple):
    """The messages that a request stored, in the order of the request.

    `replayed` is True if an earlier request with the same request key stored them. `traceparent` names the span of the
    request or of its caller; None if there is neither. `counted` is what the request has counted
    against limits, None without any.
    """

    messages: list[Message]
    replayed: bool
    traceparent: str | None = None
    counted: Counted | None = None


class CreatedThread(NamedTuple):
    """The thread that a request made, or found if `is_new` is False.

    `replayed` is True if an earlier request with the same request key made or found it.
    """

    thread: Thread
    is_new: bool
    replayed: bool = False


class DeadLetterGroup(BaseModel):
    """Dead letters with one fingerprint. `error` is the newest dead letter's error."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    count: int
    error: str
    error_code: str
    first_failed_at: Moment
    last_failed_at: Moment


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Selects messages that match all given fields. None means any value.

    `metadata` has texts by key: `42` matches the number 42 and the text "42". `true`, `false` and `null` likewise match
    the value and the text. `visible` is what the caller may see. `hint` leaves out messages that do not have this text
    in any case, see `app.policy.text_search`. Some of them may be left.
    """

    states: frozenset[MessageState] | None = None
    thread_id: str | None = None
    agent: str | None = None
    priority: Priority | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    metadata: Mapping[str, str] | None = None
    visible: Visibility = EVERYTHING
    hint: str | None = None


class MessagePart(NamedTuple):
    """A part of a list, and the number of the message behind which to go on. None means that the list has ended."""

    messages: list[Message]
    before: int | None


class QueueSummary(NamedTuple):
    """The queue at one moment: totals by state, the first queued messages in claim order, and the running messages.

    `queued_by_priority` counts the queued messages by their own priorities, those for a later time included.
    """

    totals: dict[MessageState, int]
    queued_by_priority: dict[Priority, int]
    queued: tuple[Message, ...]
    processing: tuple[Message, ...]


class Page(NamedTuple):
    """Requests a page of a list: at most `limit` entries after `cursor`, or from the start if `cursor` is None."""

    limit: int
    cursor: tuple[int, str] | None = None
