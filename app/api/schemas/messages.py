"""What goes over HTTP: bodies and replies. Domain words come from `app.models`."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import to_json
from pydantic_core.core_schema import ValidationInfo

from ...errors import InvalidRequest
from ...models.attempts import FailedAttempt
from ...models.deliveries import ENDS, WebhookEvent
from ...models.messages import IfBusy, Message, MessageOptions, MessageState, Priority, Thread
from ...models.types import Moment, Text, ThreadId
from ...policy.wait_estimate import NOTHING, WaitEstimate, WaitingReason
from ...queue_manager import Answer, Submission
from ...text import not_blank, rfc3339

MESSAGE_ID = "550e8400-e29b-41d4-a716-446655440000"
THREAD_ID = "a2e40f10-9f5a-4a54-9fb4-3b9f861fc2c0"
MAX_BATCH = 1_000
MAX_DELAY_SECONDS = 31_536_000
MAX_TIMEOUT_SECONDS = 86_400
MAX_ATTEMPTS = 100
MAX_URL_LENGTH = 2048
CREATED, STARTED, ENDED = "2024-01-15T10:30:00.000Z", "2024-01-15T10:30:05.000Z", "2024-01-15T10:30:15.000Z"


QUEUE_POSITION = (
    "How many queued messages are taken before this one: exact up to 10,000, beyond that an estimate. Null while it is "
    "delayed, and unless it is queued."
)
RUN_AT = (
    "The message is not taken before this time: that of `run_at` or `delay_seconds`, or of the next try. It stays when "
    "the message has begun. Null when the message could be taken at once."
)
EVENT_ATTEMPT = "The number of the attempt, from 1. It is the same in the run that follows the answer to a question."
ATTEMPT = (
    "The number of the attempt that runs or asks, or of the last one when the message has ended. While the message is "
    "queued, how many attempts count so far: those do not that a stopping worker gave back, or that asked and were "
    "answered."
)
Position = Annotated[int | None, Field(description=QUEUE_POSITION)]
NotBefore = Annotated[Moment | None, Field(description=RUN_AT)]

SOON = {"code": "starting_soon", "message": "It is the next to be taken."}

ACCEPTED_EXAMPLE: dict[str, Any] = {
    "message_id": MESSAGE_ID,
    "state": "queued",
    "queue_position": 0,
    "created_at": CREATED,
    "thread_id": THREAD_ID,
    "agent": "chat",
    "estimated_start_at": CREATED,
    "waiting_reason": SOON,
    "run_at": None,
}
STATUS_EXAMPLE: dict[str, Any] = {
    "message_id": MESSAGE_ID,
    "state": "completed",
    "user_message": "What is the capital of France?",
    "priority": "normal",
    "created_at": CREATED,
    "started_at": STARTED,
    "completed_at": ENDED,
    "result": "The capital of France is Paris.",
    "output": None,
    "error": None,
    "error_code": None,
    "queue_position": None,
    "thread_id": THREAD_ID,
    "agent": "chat",
    "attempt": 1,
    "estimated_start_at": None,
    "waiting_reason": None,
    "run_at": None,
    "cancel_requested": False,
    "fingerprint": None,
    "interrupts": [],
    "interrupt_expires_at": None,
}


def example(**fields: Any) -> ConfigDict:
    """The configuration of a reply with this example in the API's description."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


def _rfc3339(value: object) -> object:
    """Refuse the other forms of a time that Pydantic takes, such as numbers."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d", value):
        raise ValueError("expected a time of RFC 3339, such as 2030-01-31T09:00:00Z")
    return value


class MessageCreate(BaseModel):
    """A message for an agent."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"message": "What is the capital of France?", "priority": "normal", "thread_id": THREAD_ID}]
        },
    )

    message: Annotated[Text, Field(min_length=1), AfterValidator(not_blank)] = Field(
        description="What the user says. Not blank."
    )
    priority: Priority = Field(Priority.NORMAL, description="Claimed before all less urgent ones.")
    thread_id: ThreadId | None = Field(
        None, description="The conversation it belongs to; a new id begins one. Without it, the message stands alone."
    )
    agent: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The agent's name; the server's first one by default."
    )
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)] | None = Field(
        None, description="Tries before it fails for good; the server's setting by default."
    )
    timeout: Annotated[float, Field(strict=True, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="Seconds that one try may take; the server's setting by default."
    )
    run_at: Annotated[AwareDatetime, BeforeValidator(_rfc3339)] | None = Field(
        None, description="Not to be run before this time, which is to come and within a year."
    )
    delay_seconds: Annotated[float, Field(strict=True, ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="Not to be run before so many seconds from now. Not together with `run_at`."
    )
    if_busy: IfBusy = Field(
        IfBusy.ENQUEUE,
        description="What to do when its thread has unfinished messages: `enqueue` has it wait behind them, `reject` "
        "refuses it with 409, `interrupt` cancels them and keeps their finished steps in the agent's memory, "
        "`rollback` cancels them and has the agent forget all that they did. All but `enqueue` need a `thread_id`.",
    )
    webhook_url: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] | None = Field(
        None, description="Told when the message has ended, with a signed POST of its last event; see `webhook_events`."
    )
    webhook_events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))] | None = Field(
        None,
        description="What the `webhook_url` is told of: `completed`, `failed` and `cancelled` by default; with "
        "`interrupted`, also each question to a human.",
    )

    @field_validator("delay_seconds")
    @classmethod
    def _one_time(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("run_at") is not None:
            raise ValueError("give either run_at or delay_seconds")
        return value

    @field_validator("webhook_events")
    @classmethod
    def _for_a_webhook(cls, value: list[WebhookEvent] | None, info: ValidationInfo) -> list[WebhookEvent] | None:
        if value is not None and "webhook_url" in info.data and info.data["webhook_url"] is None:
            raise ValueError("webhook_events needs a webhook_url")
        return value

    @field_validator("if_busy")
    @classmethod
    def _of_a_thread(cls, value: IfBusy, info: ValidationInfo) -> IfBusy:
        if value is not IfBusy.ENQUEUE and "thread_id" in info.data and info.data["thread_id"] is None:
            raise ValueError(f"{value} needs a thread_id")
        return value

    def submission(self) -> Submission:
        """What the queue is asked to accept."""
        options = None
        if self.max_attempts is not None or self.timeout is not None:
            options = MessageOptions(max_attempts=self.max_attempts, timeout_seconds=self.timeout)
        return Submission(
            content=self.message,
            priority=self.priority,
            thread_id=self.thread_id,
            agent=self.agent,
            options=options,
            run_at=self.run_at,
            delay_seconds=self.delay_seconds or 0.0,
            if_busy=self.if_busy,
            webhook_url=self.webhook_url,
            webhook_events=None if self.webhook_events is None else tuple(self.webhook_events),
        )


class MessageBatch(BaseModel):
    """Messages to be accepted together, in this order: all of them or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"messages": [{"message": "One"}, {"message": "Two", "priority": "low"}]}]},
    )

    messages: Annotated[list[MessageCreate], Field(min_length=1, max_length=MAX_BATCH)]


class MessageChange(BaseModel):
    """What may be changed of a queued message."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"priority": "high"}]})

    priority: Priority


class MessageAnswer(BaseModel):
    """The answer to an interrupted message: `value` when it asks one question, else `values` by the questions' ids."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"value": "yes"}, {"values": {"6c53cbb3d1a5": True}}]}
    )

    value: Any = Field(None, description="Any JSON.")
    values: dict[str, Any] | None = Field(None, description="Any JSON for each question.")

    def answer(self) -> Answer:
        """What the queue is told. Raises InvalidRequest unless just one of both was given."""
        if (self.values is not None) == ("value" in self.model_fields_set):
            raise InvalidRequest("value: expected either value or values", field="value")
        return Answer(self.value, self.values)


class MessageAccepted(BaseModel):
    """A stored message, as it was when it was stored; with `Prefer: wait=N`, as it is at the time of the reply."""

    model_config = example(**ACCEPTED_EXAMPLE)

    message_id: str
    state: MessageState
    queue_position: Position
    created_at: Moment
    thread_id: str | None
    agent: str
    estimated_start_at: Moment | None = None
    waiting_reason: WaitingReason | None = None
    run_at: NotBefore = None

    @classmethod
    def of(cls, message: Message, wait_estimate: WaitEstimate = NOTHING) -> "MessageAccepted":
        """From the domain's message."""
        return cls.model_construct(
            message_id=message.id,
            state=message.state,
            queue_position=message.queue_position,
            created_at=message.created_at,
            thread_id=message.thread_id,
            agent=message.agent,
            estimated_start_at=wait_estimate.estimated_start_at,
            waiting_reason=wait_estimate.reason,
            run_at=message.run_at,
        )

    @staticmethod
    def json_of(message: Message, wait_estimate: WaitEstimate = NOTHING) -> bytes:
        """What `of` is as JSON, written without the model: making and dumping that takes a twentieth of a submit."""
        position, starts, reason = message.queue_position, wait_estimate.estimated_start_at, wait_estimate.reason
        thread_id = "null" if message.thread_id is None else to_json(message.thread_id).decode()
        start = "null" if starts is None else f'"{rfc3339(starts)}"'
        not_before = "null" if message.run_at is None else f'"{rfc3339(message.run_at)}"'
        why = f'{{"code":"{reason.code}","message":{to_json(reason.message).decode()}}}' if reason else "null"
        return (
            f'{{"message_id":"{message.id}","state":"{message.state}",'
            f'"queue_position":{"null" if position is None else position},'
            f'"created_at":"{rfc3339(message.created_at)}","thread_id":{thread_id},'
            f'"agent":{to_json(message.agent).decode()},"estimated_start_at":{start},"waiting_reason":{why},'
            f'"run_at":{not_before}}}'
        ).encode()


class BatchAccepted(BaseModel):
    """The stored messages of a batch, in its order."""

    messages: list[MessageAccepted]


class Question(BaseModel):
    """What an agent asks a human; `value` is whatever the agent gave."""

    id: str
    value: Any


class MessageStatus(BaseModel):
    """Everything about a message. `interrupts` are the questions of one that waits for a human."""

    model_config = example(**STATUS_EXAMPLE)

    message_id: str
    state: MessageState
    user_message: str
    priority: Priority
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    result: str | None
    output: Any = Field(None, description="The structured response, or what an agent wrote that answered without text.")
    error: str | None
    error_code: str | None
    queue_position: Position
    thread_id: str | None
    agent: str
    attempt: int = Field(description=ATTEMPT)
    estimated_start_at: Moment | None = None
    waiting_reason: WaitingReason | None = None
    run_at: NotBefore = None
    cancel_requested: bool = False
    fingerprint: str | None = None
    interrupts: list[Question] = []
    interrupt_expires_at: Moment | None = None

    @classmethod
    def of(cls, message: Message, wait_estimate: WaitEstimate = NOTHING) -> "MessageStatus":
        """From the domain's message."""
        return cls.model_construct(**status_fields(message, wait_estimate))


def status_fields(message: Message, wait_estimate: WaitEstimate) -> dict[str, Any]:
    """The fields of `MessageStatus`."""
    asks = message.state is MessageState.INTERRUPTED and message.interrupt is not None
    same = (
        "state", "priority", "created_at", "started_at", "completed_at", "result", "error", "error_code",
        "queue_position", "thread_id", "agent", "attempt", "run_at", "cancel_requested", "fingerprint",
    )  # fmt: skip
    return {
        "message_id": message.id,
        "user_message": message.content,
        "output": None if message.output is None else json.loads(message.output),
        **{name: getattr(message, name) for name in same},
        "estimated_start_at": wait_estimate.estimated_start_at,
        "waiting_reason": wait_estimate.reason,
        "interrupts": [Question(**each) for each in json.loads(message.interrupt or "[]")] if asks else [],
        "interrupt_expires_at": message.interrupt_expires_at if asks else None,
    }


class MessageDetails(MessageStatus):
    """The status, how it came to it, and what was asked for with the message."""

    model_config = example(
        **STATUS_EXAMPLE,
        attempts=[],
        crashes=0,
        max_attempts=None,
        timeout=None,
        webhook_url=None,
        webhook_events=None,
    )

    attempts: list[FailedAttempt]
    crashes: int
    max_attempts: int | None
    timeout: float | None
    webhook_url: str | None
    webhook_events: tuple[WebhookEvent, ...] | None

    @classmethod
    def with_attempts(
        cls, message: Message, wait_estimate: WaitEstimate, attempts: list[FailedAttempt]
    ) -> "MessageDetails":
        """From the domain's message."""
        return cls.model_construct(
            **status_fields(message, wait_estimate),
            attempts=attempts,
            crashes=message.crashes,
            max_attempts=message.options.max_attempts,
            timeout=message.options.timeout_seconds,
            webhook_url=message.webhook_url,
            webhook_events=None if message.webhook_url is None else message.webhook_events or ENDS,
        )


class MessageList(BaseModel):
    """Messages, the newest first."""

    messages: list[MessageStatus]


class CancelReply(BaseModel):
    """`cancelled`: the message has ended. `processing`: it is being stopped, and will end as cancelled."""

    model_config = example(message_id=MESSAGE_ID, state="processing", message="The message is being stopped.")

    message_id: str
    state: MessageState
    message: str


class MessageResumed(BaseModel):
    """The answer is taken; the message is queued again, at the head of its thread."""

    model_config = example(message_id=MESSAGE_ID, state="queued", thread_id=THREAD_ID)

    message_id: str
    state: MessageState = MessageState.QUEUED
    thread_id: str | None


class MessageCancelled(BaseModel):
    """The message will not run."""

    model_config = example(message="Message cancelled successfully", message_id=MESSAGE_ID)

    message: str = "Message cancelled successfully"
    message_id: str


class ThreadSummary(BaseModel):
    """A conversation in the list."""

    model_config = example(
        thread_id=THREAD_ID,
        message_count=2,
        created_at=CREATED,
        last_activity=ENDED,
        last_message_preview="Follow-up: What's its population?",
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    last_message_preview: str

    @classmethod
    def of(cls, thread: Thread) -> "ThreadSummary":
        """From the domain's thread."""
        return cls.model_construct(**{name: getattr(thread, name) for name in cls.model_fields})


class ThreadDetails(BaseModel):
    """A conversation with its messages counted by state."""

    model_config = example(
        thread_id=THREAD_ID,
        message_count=2,
        created_at=CREATED,
        last_activity=ENDED,
        states={"queued": 0, "processing": 0, "completed": 2, "failed": 0, "cancelled": 0, "interrupted": 0},
    )

    thread_id: str
    message_count: int
    created_at: Moment
    last_activity: Moment
    states: dict[MessageState, int]

    @classmethod
    def of(cls, thread: Thread) -> "ThreadDetails":
        """From the domain's thread."""
        return cls.model_construct(**{name: getattr(thread, name) for name in cls.model_fields})


class ThreadMessages(BaseModel):
    """The messages of a conversation, oldest first; `total_messages` counts all, whatever the page."""

    thread_id: str
    total_messages: int
    messages: list[MessageStatus]


class ProblemError(BaseModel):
    """One field that is wrong."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable, `detail` says what to do, `state` is that of the message where it is in the way."""

    model_config = example(
        type="about:blank",
        title="Not Found",
        status=404,
        detail="There is no message with the id '550e…'.",
        code="message_not_found",
        errors=[],
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemError] = []
    state: MessageState | None = None
