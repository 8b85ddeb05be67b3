"""Bodies of requests about messages: new messages, changes, answers."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from ...errors import InvalidRequest
from ...models.deliveries import WebhookEvent
from ...models.inputs import NO_RUN_INPUT, RunInput, ShownEvent
from ...models.messages import IfBusy, MessageOptions, NewMessage, Priority
from ...models.requests import ResumeAnswer
from ...models.types import Text, ThreadId
from ...text import not_blank
from .examples import THREAD_ID

MAX_BATCH = 1_000


MAX_DELAY_SECONDS = 31_536_000


MAX_TIMEOUT_SECONDS = 86_400


MAX_ATTEMPTS = 100


MAX_URL_LENGTH = 2048


def _rfc3339(value: object) -> object:
    """Return a time of RFC 3339 unchanged. Raises ValueError for other forms that Pydantic accepts, such as numbers."""
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
        description="The text of the user. Not blank."
    )
    priority: Priority = Field(Priority.NORMAL, description="More urgent messages are claimed first.")
    thread_id: ThreadId | None = Field(
        None, description="The thread of the message. A new id begins a thread. By default the message has no thread."
    )
    agent: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The agent's name. By default the server's first agent."
    )
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)] | None = Field(
        None, description="Attempts before the message fails for good. By default the server's setting."
    )
    timeout: Annotated[float, Field(strict=True, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="Seconds that one attempt may take. By default the server's setting."
    )
    run_at: Annotated[AwareDatetime, BeforeValidator(_rfc3339)] | None = Field(
        None, description="The message is not run before this time, which must be in the future and within a year."
    )
    delay_seconds: Annotated[float, Field(strict=True, ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="The message is not run before this many seconds from now. Not together with `run_at`."
    )
    if_busy: IfBusy = Field(
        IfBusy.ENQUEUE,
        description="What to do if the thread has unfinished messages. `enqueue`: wait behind them. `reject`: refuse "
        "the message with 409, unless the only unfinished message waits for a human; that message is then cancelled. "
        "`interrupt`: cancel them and keep their finished steps in the agent's memory. "
        "`rollback`: cancel them and have the agent forget their steps. All but `enqueue` need a `thread_id`.",
    )
    events: Annotated[list[ShownEvent], Field(min_length=1, max_length=len(ShownEvent))] | None = Field(
        None,
        description="Events that the log and the streams show besides the answer: `custom` has what the agent's code "
        "writes, `node` the start and end of each node, `values` the state after each step, `updates` what each node "
        "wrote to it. None by default.",
    )
    webhook_url: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] | None = Field(
        None,
        description="Gets a signed POST with the message's last event after its end; see `webhook_events`.",
    )
    webhook_events: Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))] | None = Field(
        None,
        description="The events that the `webhook_url` receives: by default `completed`, `failed` and `cancelled`. "
        "`interrupted` reports each question to a human.",
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

    def new_message(self) -> NewMessage:
        """Return the message for the queue manager."""
        options = None
        if self.max_attempts is not None or self.timeout is not None or self.events is not None:
            run = NO_RUN_INPUT if self.events is None else RunInput(events=tuple(dict.fromkeys(self.events)))
            options = MessageOptions(max_attempts=self.max_attempts, timeout_seconds=self.timeout, run=run)
        return NewMessage(
            content=self.message,
            priority=self.priority,
            thread_id=self.thread_id,
            agent=self.agent or "",
            options=options,
            run_at=self.run_at,
            delay_seconds=self.delay_seconds or 0.0,
            if_busy=self.if_busy,
            webhook_url=self.webhook_url,
            webhook_events=None if self.webhook_events is None else tuple(self.webhook_events),
        )


class MessageBatch(BaseModel):
    """Messages to accept together, in this order: all of them or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"messages": [{"message": "One"}, {"message": "Two", "priority": "low"}]}]},
    )

    messages: Annotated[list[MessageCreate], Field(min_length=1, max_length=MAX_BATCH)]


class MessageChange(BaseModel):
    """A change to a queued message."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"priority": "high"}]})

    priority: Priority


class MessageAnswer(BaseModel):
    """The answer to an interrupted message: `value` for its only question, or `values` by the ids of its questions."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"value": "yes"}, {"values": {"6c53cbb3d1a5": True}}]}
    )

    value: Any = Field(None, description="Any JSON.")
    values: dict[str, Any] | None = Field(None, description="Any JSON for each question.")

    def answer(self) -> ResumeAnswer:
        """Return the answer for the queue manager. Raises InvalidRequest unless exactly one field is given."""
        if (self.values is not None) == ("value" in self.model_fields_set):
            raise InvalidRequest("value: expected either value or values", field="value")
        return ResumeAnswer(self.value, self.values)
