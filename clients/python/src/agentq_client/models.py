"""The replies of the server. Fields of later servers are kept in `model_extra`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from .core.replies import Reply
from .errors import UnexpectedReply


class Model(BaseModel):
    """The base of all replies. `last_response` is the raw reply, with its status and headers."""

    model_config = ConfigDict(extra="allow", defer_build=True)
    _reply: Reply | None = PrivateAttr(default=None)

    @property
    def last_response(self) -> Reply:
        """Return the reply that this was read from, which is that of the page for an entry of a list."""
        if self._reply is None:
            raise AttributeError("this was not read from a reply")
        return self._reply


M = TypeVar("M", bound=Model)


def reader(kind: type[M]) -> Callable[[Reply], M]:
    """Return a function that reads a reply as a model. It raises UnexpectedReply for another body."""

    def read(reply: Reply) -> M:
        return _validated(kind, reply.json(), reply)

    return read


def list_reader(kind: type[M], name: str | None = None) -> Callable[[Reply], list[M]]:
    """Return a function that reads the list in the field `name`, or a reply that is a list."""

    def read(reply: Reply) -> list[M]:
        body = reply.json()
        entries = body if name is None else body.get(name) if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise UnexpectedReply(f"The reply has no list `{name or ''}`.", request_id=reply.request_id)
        return [_validated(kind, entry, reply) for entry in entries]

    return read


def _validated(kind: type[M], body: Any, reply: Reply) -> M:
    try:
        model = kind.model_validate(body)
    except ValidationError as error:
        raise UnexpectedReply(
            f"The reply is no {kind.__name__}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}.",
            request_id=reply.request_id,
        ) from error
    model._reply = reply
    return model


class WaitingReason(Model):
    """Why a message waits."""

    code: str
    message: str


class ModelCost(Model):
    """Tokens and cost. `cost` is in US dollars as a decimal text, None without a price."""

    calls: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    cost_complete: bool = True


class ModelUsage(ModelCost):
    """The usage of the calls of one model."""

    model: str


class MessageUsage(ModelCost):
    """The usage of a message."""

    models: list[ModelUsage] = []


class Accepted(Model):
    """A message that the server has stored. `queue_position` is None while it is delayed or already runs."""

    message_id: str
    state: str
    queue_position: int | None = None
    created_at: datetime
    thread_id: str | None = None
    agent: str
    estimated_start_at: datetime | None = None
    waiting_reason: WaitingReason | None = None
    run_at: datetime | None = None

    @property
    def is_replayed(self) -> bool:
        """Return whether an earlier request with this idempotency key had stored it."""
        return self.last_response.headers.get("idempotent-replayed") == "true"


class Regenerated(Accepted):
    """A message that answers an earlier one anew."""

    regenerates: str
    rolled_back: list[str] = []


class Question(Model):
    """A question of the agent to a human."""

    id: str
    value: Any


class Message(Model):
    """The status of a message. `result` is the answer's text, None until it has completed."""

    message_id: str
    state: str
    user_message: str
    priority: str
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    result: str | None = None
    output: Any = None
    error: str | None = None
    error_code: str | None = None
    queue_position: int | None = None
    thread_id: str | None = None
    agent: str
    agent_version: str | None = None
    attempt: int = 0
    estimated_start_at: datetime | None = None
    waiting_reason: WaitingReason | None = None
    run_at: datetime | None = None
    cancel_requested: bool = False
    interrupts: list[Question] = []
    interrupt_expires_at: datetime | None = None
    metadata: dict[str, Any] = {}
    usage: MessageUsage | None = None
    trace_id: str | None = None
    fingerprint: str | None = None
    subject: str | None = None


class FailedAttempt(Model):
    """An attempt that ended without a result."""

    attempt: int
    worker_id: str
    started_at: datetime
    ended_at: datetime
    error: str
    error_code: str


class MessageDetails(Message):
    """A message with what its submit gave and its failed attempts."""

    attempts: list[FailedAttempt] = []
    crashes: int = 0
    max_attempts: int | None = None
    timeout: float | None = None
    message: Any = None
    input: Any = None
    context: Any = None
    aliases: list[str] = []


class Cancellation(Model):
    """The outcome of a cancel: `state` is still `processing` while the agent is being stopped."""

    message_id: str
    state: str
    message: str = ""


class Cancellations(Model):
    """The ids of the messages that were cancelled, and of those that are being stopped."""

    cancelled: list[str]
    stopping: list[str]


class Answered(Model):
    """An interrupted message that goes on with an answer. `message_id` is the alias, if one was given."""

    message_id: str
    state: str = "queued"
    thread_id: str | None = None


class DeadLetter(Model):
    """A message that has failed."""

    message_id: str
    user_message: str
    priority: str
    thread_id: str | None = None
    agent: str
    created_at: datetime
    failed_at: datetime | None = None
    reason: str
    error: str | None = None
    error_code: str | None = None
    fingerprint: str | None = None
    attempt: int = 0
    attempts: list[FailedAttempt] = []


class DeadLetterGroup(Model):
    """Failed messages of one kind."""

    fingerprint: str
    count: int
    error: str
    error_code: str
    first_failed_at: datetime
    last_failed_at: datetime


class Requeued(Model):
    """The messages that are queued again."""

    requeued: list[Accepted]


class Purged(Model):
    """The ids of the messages that were deleted."""

    purged: list[str]


class Thread(Model):
    """A conversation. `states` counts its messages by state; lists leave it empty and give a preview."""

    thread_id: str
    message_count: int
    created_at: datetime
    last_activity: datetime
    name: str | None = None
    status: str
    metadata: dict[str, Any] = {}
    states: dict[str, int] = {}
    last_message_preview: str | None = None
    forked_from: dict[str, Any] | None = None
    subject: str | None = None


class ThreadState(Model):
    """The state of a thread: its values, the nodes that come next, and open questions."""

    values: Any
    next: list[str] = []
    tasks: list[dict[str, Any]] = []
    interrupts: list[Question] = []
    checkpoint: dict[str, Any] | None = None
    parent_checkpoint: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}
    message_id: str | None = None
    created_at: datetime | None = None


class StateUpdated(Model):
    """The checkpoint that a change of the state has made."""

    checkpoint: dict[str, Any]


class QueueState(Model):
    """The queue in numbers, its waiting messages in order, and the running ones."""

    total_queued: int
    total_processing: int
    total_completed: int
    total_failed: int
    total_cancelled: int = 0
    total_interrupted: int = 0
    paused: bool = False
    queued_messages: list[dict[str, Any]] = []
    processing_messages: list[dict[str, Any]] = []


class QueuePaused(Model):
    """Whether the queue is paused."""

    paused: bool


class Delivery(Model):
    """A webhook's delivery with its tries."""

    id: str
    message_id: str
    thread_id: str | None = None
    url: str
    event: str
    state: str
    tries: int
    created_at: datetime
    next_at: datetime | None = None
    attempts: list[dict[str, Any]] = []


class Agent(Model):
    """An agent: what it takes, returns and shows, as JSON Schemas."""

    name: str
    is_default: bool = False
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    version: str | None = None
    error: str | None = None


class UsageRow(Model):
    """Tokens and cost of a group."""

    calls: int
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    cost_complete: bool = True
    hour: datetime | None = None
    day: str | None = None
    tenant: str | None = None
    key: str | None = None
    subject: str | None = None
    agent: str | None = None
    model: str | None = None


class Token(Model):
    """A token for an end user, with a part of the caller's rights."""

    token: str = Field(repr=False)
    expires_at: datetime
    subject: str | None = None
    scopes: list[str] = []


class Ticket(Model):
    """A ticket that opens one stream, for readers that can send no header."""

    ticket: str = Field(repr=False)
    expires_at: datetime


class Health(Model):
    """The state of the server."""

    status: str
    version: str
    checks: dict[str, Any] = {}
    agents: list[dict[str, Any]] = []
