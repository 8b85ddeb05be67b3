"""What goes over HTTP: bodies and replies. Domain words come from `app.models`."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.models import (
    Message,
    MessageState,
    Moment,
    Priority,
    QueueSummary,
    Text,
    Thread,
    ThreadId,
    Worker,
    not_blank,
)

MESSAGE_ID = "550e8400-e29b-41d4-a716-446655440000"
THREAD_ID = "a2e40f10-9f5a-4a54-9fb4-3b9f861fc2c0"
CREATED, STARTED, ENDED = "2024-01-15T10:30:00.000Z", "2024-01-15T10:30:05.000Z", "2024-01-15T10:30:15.000Z"


def example(**fields: Any) -> ConfigDict:
    """The configuration of a reply with this example in the API's description."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


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


class MessageAccepted(BaseModel):
    """A stored message. `queue_position` counts the messages that will be taken before it."""

    model_config = example(
        message_id=MESSAGE_ID, state="queued", queue_position=0, created_at=CREATED, thread_id=THREAD_ID, agent="chat"
    )

    message_id: str
    state: MessageState
    queue_position: int | None
    created_at: Moment
    thread_id: str | None
    agent: str

    @classmethod
    def of(cls, message: Message) -> "MessageAccepted":
        """From the domain's message."""
        return cls.model_construct(
            message_id=message.id,
            state=message.state,
            queue_position=message.queue_position,
            created_at=message.created_at,
            thread_id=message.thread_id,
            agent=message.agent,
        )


class MessageStatus(BaseModel):
    """Everything about a message."""

    model_config = example(
        message_id=MESSAGE_ID,
        state="completed",
        user_message="What is the capital of France?",
        priority="normal",
        created_at=CREATED,
        started_at=STARTED,
        completed_at=ENDED,
        result="The capital of France is Paris.",
        error=None,
        error_code=None,
        queue_position=None,
        thread_id=THREAD_ID,
        agent="chat",
        attempt=1,
    )

    message_id: str
    state: MessageState
    user_message: str
    priority: Priority
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    result: str | None
    error: str | None
    error_code: str | None
    queue_position: int | None
    thread_id: str | None
    agent: str
    attempt: int

    @classmethod
    def of(cls, message: Message) -> "MessageStatus":
        """From the domain's message."""
        return cls.model_construct(
            message_id=message.id,
            state=message.state,
            user_message=message.content,
            priority=message.priority,
            created_at=message.created_at,
            started_at=message.started_at,
            completed_at=message.completed_at,
            result=message.result,
            error=message.error,
            error_code=message.error_code,
            queue_position=message.queue_position,
            thread_id=message.thread_id,
            agent=message.agent,
            attempt=message.attempt,
        )


class MessageCancelled(BaseModel):
    """The message will not run."""

    model_config = example(message="Message cancelled successfully", message_id=MESSAGE_ID)

    message: str = "Message cancelled successfully"
    message_id: str


class StoredEvent(BaseModel):
    """One event of a message's log; `data` is what the stream sends."""

    id: int
    type: str
    data: dict[str, Any]


class EventList(BaseModel):
    """Events behind `after`, oldest first. `last_event_id` is the newest one that exists."""

    message_id: str
    state: MessageState
    events: list[StoredEvent]
    last_event_id: int


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
        current_processing=None,
        processing_messages=[],
    )

    total_queued: int
    total_processing: int
    total_completed: int
    total_failed: int
    total_cancelled: int
    queued_messages: list[QueuedMessage]
    current_processing: ProcessingMessage | None
    processing_messages: list[ProcessingMessage]

    @classmethod
    def of(cls, summary: QueueSummary) -> "QueueState":
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
            }
        ]
    )

    workers: list[Worker]


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
        states={"queued": 0, "processing": 0, "completed": 2, "failed": 0, "cancelled": 0},
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


class Check(BaseModel):
    """One thing that has to work. `detail` says what is wrong, empty when nothing is."""

    ok: bool
    detail: str


class Health(BaseModel):
    """`healthy`, `starting` while agents load, or `degraded`; `checks` by name."""

    model_config = example(status="healthy", version="0.1.0", checks={"store": {"ok": True, "detail": ""}})

    status: str
    version: str
    checks: dict[str, Check]


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class ProblemError(BaseModel):
    """One field that is wrong."""

    field: str
    detail: str


class Problem(BaseModel):
    """RFC 9457. `code` is stable, `detail` says what to do."""

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
