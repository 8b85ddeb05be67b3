"""What goes over HTTP for operators: the queue as a whole, many messages at once, dead letters, deliveries."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ... import __version__
from ...errors import InvalidRequest
from ...models.attempts import FailedAttempt
from ...models.deliveries import DeliveryAttempt, DeliveryRecord, DeliveryState, WebhookEvent
from ...models.messages import DeadLetterGroup, Message, MessageFilter, MessageState, Priority, QueueSummary
from ...models.types import Moment, Text, ThreadId
from ...models.workers import ServedAgent, Worker
from ...policy.lifecycle import TERMINAL
from ...policy.wait_estimate import NOTHING, WaitEstimate
from ...queue_manager import MAX_SELECTED, Selection
from .messages import (
    ACCEPTED_EXAMPLE,
    CREATED,
    ENDED,
    MESSAGE_ID,
    STARTED,
    THREAD_ID,
    MessageAccepted,
    example,
)

NAME_MAX_LENGTH = 255
TAIL = "Each stands at the tail of its thread."


RUNNING = {
    "id": MESSAGE_ID,
    "priority": "normal",
    "started_at": STARTED,
    "user_message": "What is the capital of France?",
    "thread_id": THREAD_ID,
    "agent": "chat",
}


class QueuedMessage(BaseModel):
    """A message that waits."""

    id: str
    priority: Priority
    created_at: Moment
    user_message: str
    thread_id: str | None
    agent: str


class ProcessingMessage(BaseModel):
    """A message that a worker has."""

    id: str
    priority: Priority
    started_at: Moment | None
    user_message: str
    thread_id: str | None
    agent: str


class QueueState(BaseModel):
    """The queue at one moment. The lists hold the first `limit` messages; the totals count all."""

    model_config = example(
        total_queued=1,
        total_processing=1,
        total_completed=23,
        total_failed=2,
        total_cancelled=1,
        total_interrupted=0,
        paused=False,
        queued_messages=[
            {
                "id": MESSAGE_ID,
                "priority": "high",
                "created_at": CREATED,
                "user_message": "Urgent request...",
                "thread_id": None,
                "agent": "chat",
            }
        ],
        current_processing=RUNNING,
        processing_messages=[RUNNING],
    )

    total_queued: int
    total_processing: int
    total_completed: int
    total_failed: int
    total_cancelled: int
    total_interrupted: int
    paused: bool
    queued_messages: list[QueuedMessage]
    current_processing: ProcessingMessage | None
    processing_messages: list[ProcessingMessage]

    @classmethod
    def of(cls, summary: QueueSummary, *, paused: bool) -> "QueueState":
        """From the domain's summary."""
        shared = ("id", "priority", "thread_id", "agent")
        processing = [
            ProcessingMessage.model_construct(
                **{name: getattr(m, name) for name in shared}, started_at=m.started_at, user_message=m.content
            )
            for m in summary.processing
        ]
        queued = [
            QueuedMessage.model_construct(
                **{name: getattr(m, name) for name in shared}, created_at=m.created_at, user_message=m.content
            )
            for m in summary.queued
        ]
        return cls.model_construct(
            **{f"total_{state}": count for state, count in summary.totals.items()},  # type: ignore[arg-type]  # fields
            paused=paused,
            queued_messages=queued,
            current_processing=processing[0] if processing else None,
            processing_messages=processing,
        )


class WorkerList(BaseModel):
    """Processes that run messages, of all hosts, the oldest first; one that has been silent for a lease is left out."""

    model_config = example(
        workers=[
            {
                "id": "host-1-4711-7c9201dc2f6c",
                "host": "host-1",
                "pid": 4711,
                "slots": 4,
                "started_at": CREATED,
                "last_beat": ENDED,
                "agents": [{"name": "chat", "state": "available", "error": None}],
            }
        ]
    )

    workers: list[Worker]


Name = Annotated[Text, Field(min_length=1, max_length=NAME_MAX_LENGTH)]
MessageIds = Annotated[list[Name], Field(min_length=1, max_length=MAX_SELECTED)]


class DeadLetterFilter(BaseModel):
    """Which are meant: those that have all of what is given; without anything, all."""

    model_config = ConfigDict(extra="forbid")

    thread_id: ThreadId | None = None
    agent: Name | None = None
    priority: Priority | None = None
    error_code: Name | None = None
    fingerprint: Name | None = None

    def chosen(self) -> MessageFilter:
        """In the words of the domain."""
        return MessageFilter(**dict(self))


class DeadLetterSelection(BaseModel):
    """Dead letters by their ids, or by a filter with how many it is expected to mean."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"message_ids": [MESSAGE_ID]},
                {"filter": {"error_code": "provider_unavailable"}, "expected_count": 12},
            ]
        },
    )

    message_ids: MessageIds | None = None
    filter: DeadLetterFilter | None = None
    expected_count: Annotated[int, Field(strict=True, ge=0, le=MAX_SELECTED)] | None = Field(
        None, description="Needed with a filter: when it means another number of messages, nothing is done."
    )

    def selection(self) -> Selection:
        """What the queue is told. Raises InvalidRequest."""
        if (self.message_ids is None) == (self.filter is None):
            raise InvalidRequest("filter: expected either message_ids or a filter", field="filter")
        if self.filter is None:
            return Selection(tuple(self.message_ids or ()))
        if self.expected_count is None:
            raise InvalidRequest("expected_count: needed with a filter", field="expected_count")
        return Selection(chosen=self.filter.chosen(), expected_count=self.expected_count)


def _listed(value: object) -> object:
    """Return one state as a list, as a query has it."""
    return [value] if isinstance(value, str) else value


ListedStates = Annotated[list[MessageState], Field(min_length=1)]
States = Annotated[ListedStates, BeforeValidator(_listed, json_schema_input_type=MessageState | ListedStates)]


class UnfinishedFilter(DeadLetterFilter):
    """Which unfinished messages are meant: those that have all of what is given, at least one thing."""

    state: States | None = Field(
        None, description="`queued`, `processing` or `interrupted`, or a list of them; all of them by default."
    )

    def chosen(self) -> MessageFilter:
        """In the words of the domain. Raises InvalidRequest."""
        fields = dict(self)
        states = fields.pop("state")
        if states is None and not any(fields.values()):
            raise InvalidRequest("filter: expected at least one thing that the messages have", field="filter")
        if states is not None and (ended := TERMINAL.intersection(states)):
            raise InvalidRequest(
                f"filter.state: messages that are {min(ended)} cannot be cancelled", field="filter.state"
            )
        return MessageFilter(states=None if states is None else frozenset(states), **fields)


class UnfinishedSelection(BaseModel):
    """Unfinished messages by a filter."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"filter": {"thread_id": THREAD_ID}, "expected_count": 3}]}
    )

    filter: UnfinishedFilter
    expected_count: Annotated[int, Field(strict=True, ge=0, le=MAX_SELECTED)] | None = Field(
        None, description="When the filter means another number of messages, nothing is done."
    )

    def selection(self) -> Selection:
        """What the queue is told. Raises InvalidRequest."""
        return Selection(chosen=self.filter.chosen(), expected_count=self.expected_count)


class MessagesCancelled(BaseModel):
    """`cancelled` have ended, `stopping` are being stopped and will end as cancelled."""

    model_config = example(cancelled=[MESSAGE_ID], stopping=[])

    cancelled: list[str]
    stopping: list[str]


class QueuePaused(BaseModel):
    """Whether the queue is paused. What runs goes on, and messages are accepted."""

    model_config = example(paused=True)

    paused: bool


class DeadLetter(BaseModel):
    """A message that has failed for good: why in one sentence, and each attempt that failed."""

    model_config = example(
        message_id=MESSAGE_ID,
        user_message="What is the capital of France?",
        priority="normal",
        thread_id=THREAD_ID,
        agent="chat",
        created_at=CREATED,
        failed_at=ENDED,
        reason="It failed in its first attempt and was not tried again.",
        error="The model refused the request.",
        error_code="provider_refused",
        fingerprint="provider_refused",
        attempt=1,
        crashes=0,
        attempts=[
            {
                "attempt": 1,
                "worker_id": "host-1-4711-7c9201dc2f6c",
                "started_at": STARTED,
                "ended_at": ENDED,
                "error": "The model refused the request.",
                "error_code": "provider_refused",
                "node": "model",
                "error_type": "AuthenticationError",
                "where": "my_agents.py:18 in answer",
                "traceback": None,
            }
        ],
    )

    message_id: str
    user_message: str
    priority: Priority
    thread_id: str | None
    agent: str
    created_at: Moment
    failed_at: Moment | None
    reason: str
    error: str | None
    error_code: str | None
    fingerprint: str | None
    attempt: int
    crashes: int
    attempts: list[FailedAttempt]

    @classmethod
    def of(cls, message: Message, attempts: list[FailedAttempt]) -> "DeadLetter":
        """From the domain's message."""
        same = ("priority", "thread_id", "agent", "created_at", "error", "error_code", "fingerprint", "attempt")
        return cls.model_construct(
            message_id=message.id,
            user_message=message.content,
            failed_at=message.completed_at,
            reason=reason_of(message),
            crashes=message.crashes,
            attempts=attempts,
            **{name: getattr(message, name) for name in same},
        )


def reason_of(message: Message) -> str:
    """Why a message is a dead letter."""
    match message.error_code:
        case "worker_lost":
            return f"Its workers were lost {message.crashes} times."
        case "interrupt_expired":
            return "It asked a human, and no answer came in time."
    if message.attempt <= 1:
        return "It failed in its first attempt and was not tried again."
    return f"The last of its {message.attempt} attempts failed."


class DeadLetterList(BaseModel):
    """Dead letters, the newest message first."""

    dead_letters: list[DeadLetter]


class DeadLetterGroups(BaseModel):
    """Dead letters by the kind of their failure, the kind that failed last first."""

    model_config = example(
        groups=[
            {
                "fingerprint": "provider_refused",
                "count": 12,
                "error": "The model refused the request.",
                "error_code": "provider_refused",
                "first_failed_at": STARTED,
                "last_failed_at": ENDED,
            }
        ]
    )

    groups: list[DeadLetterGroup]


class MessageRequeued(MessageAccepted):
    """The message is queued again, as if it were accepted now."""

    model_config = example(
        **ACCEPTED_EXAMPLE,
        message="It stands at the tail of its thread.",
    )

    message: str

    @classmethod
    def of(cls, message: Message, wait_estimate: WaitEstimate = NOTHING) -> "MessageRequeued":
        """From the domain's message."""
        where = "queue" if message.thread_id is None else "thread"
        accepted = MessageAccepted.of(message, wait_estimate)
        return cls.model_construct(**dict(accepted), message=f"It stands at the tail of its {where}.")


class MessagesRequeued(BaseModel):
    """The messages that are queued again, in the order in which they now stand."""

    requeued: list[MessageRequeued]
    message: str = TAIL


class MessagesPurged(BaseModel):
    """The messages that are deleted, with what only they needed of the agents' memory."""

    model_config = example(purged=[MESSAGE_ID])

    purged: list[str]


class DeliveryView(BaseModel):
    """A call of a message's webhook: the state it tells, how far the delivery came, and every try."""

    model_config = example(
        id=f"{MESSAGE_ID}.1",
        message_id=MESSAGE_ID,
        thread_id=THREAD_ID,
        url="https://example.com/hook",
        event="completed",
        state="delivered",
        tries=1,
        created_at=ENDED,
        next_at=None,
        attempts=[{"at": ENDED, "status": 204, "error": None}],
    )

    id: str
    message_id: str
    thread_id: str | None
    url: str
    event: WebhookEvent
    state: DeliveryState
    tries: int
    created_at: Moment
    next_at: Moment | None
    attempts: tuple[DeliveryAttempt, ...]

    @classmethod
    def of(cls, delivery: DeliveryRecord) -> "DeliveryView":
        """From the domain's delivery."""
        return cls.model_construct(**{name: getattr(delivery, name) for name in cls.model_fields})


class DeliveryList(BaseModel):
    """Deliveries: of one message the oldest first, of all messages the newest first."""

    deliveries: list[DeliveryView]


class Check(BaseModel):
    """One thing that has to work. `detail` says what is wrong, empty when nothing is."""

    ok: bool
    detail: str


class Health(BaseModel):
    """`healthy`, `starting` while agents load, or `degraded`; `checks` by name; the agents that this process runs."""

    model_config = example(
        status="healthy",
        version=__version__,
        checks={"store": {"ok": True, "detail": ""}},
        agents=[{"name": "chat", "state": "available", "error": None}],
    )

    status: str
    version: str
    checks: dict[str, Check]
    agents: list[ServedAgent]


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"
