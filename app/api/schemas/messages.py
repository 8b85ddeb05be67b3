"""Replies about messages."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from ...models.attempts import FailedAttempt
from ...models.deliveries import ENDS, WebhookEvent
from ...models.inputs import GraphCommand, ShownEvent
from ...models.messages import Message, MessageState, Priority
from ...models.traces import trace_id_of
from ...models.types import Moment
from ...models.usage import ModelUsage
from ...policy.wait_estimate import NOTHING, WaitEstimate, WaitingReason
from ...text import rfc3339
from .examples import ACCEPTED_EXAMPLE, MESSAGE_ID, STATUS_EXAMPLE, THREAD_ID, example
from .usage import UsageView

QUEUE_POSITION = (
    "How many queued messages are claimed before this message: exact up to 10,000, an estimate above. Null while the "
    "message is delayed, and when it is not queued."
)


RUN_AT = (
    "The message is not claimed before this time, which `run_at`, `delay_seconds` or a retry sets. It stays after the "
    "message has begun. Null if the message could be claimed at once."
)


EVENT_ATTEMPT = "The number of the attempt, from 1. The run after the answer to a question has the same number."


ATTEMPT = (
    "The number of the current attempt, or of the last attempt if the message has ended. While the message is queued: "
    "how many attempts count so far. An attempt does not count if a stopping worker released it, or if it asked a "
    "human who answered."
)


AGENT_VERSION = (
    "The version of the agent that began the message and goes on with it. Null before the first attempt, and if the "
    "worker names no version."
)


TRACE_ID = (
    "The id of the message's trace: of the header `traceparent` of its submit, or of the trace that this server began. "
    "Null without either."
)


Position = Annotated[int | None, Field(description=QUEUE_POSITION)]


NotBefore = Annotated[Moment | None, Field(description=RUN_AT)]


class MessageAccepted(BaseModel):
    """A message as it was stored. With `Prefer: wait=N`: as it is at the time of the reply."""

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
        """Return the reply for a message."""
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
        """Return the reply as JSON, without a model: a model would take 7 % of a submit."""
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


class MessageRegenerated(MessageAccepted):
    """The stored message, and the messages whose place it takes."""

    model_config = example(**ACCEPTED_EXAMPLE, regenerates=MESSAGE_ID, rolled_back=[MESSAGE_ID])

    regenerates: str = Field(description="The earlier message with the same input.")
    rolled_back: list[str] = Field(
        description="Messages whose steps the agent forgets before the new message begins. They stay in the lists of "
        "messages, with their answers."
    )

    @classmethod
    def instead(cls, message: Message, earlier: Message, wait_estimate: WaitEstimate) -> "MessageRegenerated":
        """Return the reply for a message that takes the place of an earlier one."""
        accepted = MessageAccepted.of(message, wait_estimate)
        return cls.model_construct(**dict(accepted), regenerates=earlier.id, rolled_back=list(message.rollback))


class BatchAccepted(BaseModel):
    """The stored messages of a batch, in its order."""

    messages: list[MessageAccepted]


class Question(BaseModel):
    """A question of an agent to a human. `value` is any JSON from the agent."""

    id: str
    value: Any


MetadataView = Annotated[dict[str, str | int | float | bool | None], Field(description="Values by key.")]


SubjectView = Annotated[str | None, Field(description="The end user to whom it belongs. Null if it belongs to none.")]


class MessageStatus(BaseModel):
    """The status of a message. `interrupts` has its questions while it waits for a human."""

    model_config = example(**STATUS_EXAMPLE)

    message_id: str
    state: MessageState
    user_message: str = Field(
        description="The text of the message, or a text that stands for its content blocks or its `input`."
    )
    priority: Priority
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    result: str | None
    output: Any = Field(None, description="The structured response, or an agent's result without text.")
    error: str | None
    error_code: str | None
    queue_position: Position
    thread_id: str | None
    agent: str
    agent_version: str | None = Field(description=AGENT_VERSION)
    attempt: int = Field(description=ATTEMPT)
    estimated_start_at: Moment | None = None
    waiting_reason: WaitingReason | None = None
    run_at: NotBefore = None
    cancel_requested: bool = False
    fingerprint: str | None = None
    interrupts: list[Question] = []
    interrupt_expires_at: Moment | None = None
    metadata: MetadataView = {}
    usage: UsageView | None = Field(
        None, description="What the model calls of all attempts used. Null before the first one."
    )
    trace_id: str | None = Field(None, description=TRACE_ID)
    subject: SubjectView = None

    @classmethod
    def of(
        cls, message: Message, wait_estimate: WaitEstimate = NOTHING, usage: Sequence[ModelUsage] = ()
    ) -> "MessageStatus":
        """Return the reply for a message."""
        return cls.model_construct(**status_fields(message, wait_estimate, usage))

    @classmethod
    def each(cls, messages: Sequence[Message], used: Mapping[str, Sequence[ModelUsage]]) -> "list[MessageStatus]":
        """Return the entries of a list. `used` has the usage of messages by their ids."""
        return [cls.of(message, usage=used.get(message.id, ())) for message in messages]


def status_fields(message: Message, wait_estimate: WaitEstimate, usage: Sequence[ModelUsage]) -> dict[str, Any]:
    """Return the fields of `MessageStatus` for a message."""
    asks = message.state is MessageState.INTERRUPTED and message.interrupt is not None
    same = (
        "state", "priority", "created_at", "started_at", "completed_at", "result", "error", "error_code",
        "queue_position", "thread_id", "agent", "agent_version", "attempt", "run_at", "cancel_requested", "fingerprint",
        "metadata", "subject",
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
        "usage": UsageView.of(usage),
        "trace_id": trace_id_of(message.trace),
    }


class ConfigView(BaseModel):
    """The settings of the message in LangGraph's config."""

    recursion_limit: int | None
    tags: tuple[str, ...]
    configurable: dict[str, Any]


class MessageDetails(MessageStatus):
    """The status of a message, its failed attempts, and what its submit gave."""

    model_config = ConfigDict(
        **example(
            **STATUS_EXAMPLE,
            attempts=[],
            crashes=0,
            max_attempts=None,
            timeout=None,
            webhook_url=None,
            webhook_events=None,
            message="What is the capital of France?",
            input=None,
            context=None,
            command=None,
            checkpoint_id=None,
            interrupt_before=[],
            interrupt_after=[],
            **{"continue": False},
            config={"recursion_limit": None, "tags": [], "configurable": {}},
            events=[],
            client_message_id=None,
            aliases=[],
        ),
        serialize_by_alias=True,
    )

    attempts: list[FailedAttempt]
    crashes: int
    max_attempts: int | None
    timeout: float | None
    webhook_url: str | None
    webhook_events: tuple[WebhookEvent, ...] | None
    message: str | list[dict[str, Any]] | None = Field(
        description="The text or the content blocks that were submitted. Null if an `input` was."
    )
    input: dict[str, Any] | None
    context: dict[str, Any] | None
    config: ConfigView
    events: tuple[ShownEvent, ...]
    client_message_id: str | None
    command: GraphCommand | None = Field(description="The `command` of the submit.")
    continues: bool = Field(description="The `continue` of the submit.", serialization_alias="continue")
    checkpoint_id: str | None
    interrupt_before: tuple[str, ...]
    interrupt_after: tuple[str, ...]
    aliases: list[str] = Field(description="Further ids of the message, from its submit and from answers.")

    @classmethod
    def with_attempts(
        cls,
        message: Message,
        wait_estimate: WaitEstimate,
        attempts: list[FailedAttempt],
        aliases: list[str],
        usage: Sequence[ModelUsage],
    ) -> "MessageDetails":
        """Return the reply for a message, with its failed attempts, its further ids and its usage."""
        given = message.options.run
        return cls.model_construct(
            **status_fields(message, wait_estimate, usage),
            attempts=attempts,
            crashes=message.crashes,
            max_attempts=message.options.max_attempts,
            timeout=message.options.timeout_seconds,
            webhook_url=message.webhook_url,
            webhook_events=None if message.webhook_url is None else message.webhook_events or ENDS,
            message=_submitted(message),
            input=given.input,
            context=given.context,
            config=ConfigView.model_construct(**dict(given.config)),
            events=given.events,
            command=given.command,
            continues=given.continues,
            checkpoint_id=given.checkpoint_id,
            interrupt_before=given.interrupt_before,
            interrupt_after=given.interrupt_after,
            client_message_id=given.message_id,
            aliases=aliases,
        )


def _submitted(message: Message) -> str | list[dict[str, Any]] | None:
    given = message.options.run
    if given.input is not None or given.goes_on:
        return None
    return message.content if given.blocks is None else list(given.blocks)


class MessageList(BaseModel):
    """Messages, the newest first."""

    messages: list[MessageStatus]


class CancelReply(BaseModel):
    """The state after a cancel. `cancelled`: the message has ended. `processing`: it will end as cancelled."""

    model_config = example(message_id=MESSAGE_ID, state="processing", message="The message is being stopped.")

    message_id: str
    state: MessageState
    message: str


class MessageResumed(BaseModel):
    """The answer is stored, and the message is queued again at the head of its thread."""

    model_config = example(message_id=MESSAGE_ID, state="queued", thread_id=THREAD_ID)

    message_id: str
    state: MessageState = MessageState.QUEUED
    thread_id: str | None


class MessageCancelled(BaseModel):
    """The message will not run."""

    model_config = example(message="Message cancelled successfully", message_id=MESSAGE_ID)

    message: str = "Message cancelled successfully"
    message_id: str
