"""Bodies of requests about messages: new messages, changes, answers."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from ...errors import InvalidRequest
from ...models.deliveries import WebhookEvent
from ...models.inputs import RunConfig, RunInput, ShownEvent
from ...models.messages import IfBusy, MessageOptions, NewMessage, Priority
from ...models.requests import Regeneration, ResumeAnswer
from ...models.types import JsonObject, Subject, Text, ThreadId, TimeText
from ...policy.input_preview import run_preview
from .blocks import MessageContent, blocks_preview
from .commands import MessageCommand, StopNodes, stop_nodes
from .examples import THREAD_ID
from .metadata import Metadata

MAX_BATCH = 1_000


MAX_DELAY_SECONDS = 31_536_000


MAX_TIMEOUT_SECONDS = 86_400


MAX_ATTEMPTS = 100


MAX_URL_LENGTH = 2048


MAX_RECURSION_LIMIT = 10_000


MAX_TAGS = 32


MAX_ALIASES = 8


Name = Annotated[Text, Field(min_length=1, max_length=255)]


def _fits_a_path(alias: str) -> str:
    """Return the alias. Raises ValueError if it cannot be in the path of a request."""
    if "/" in alias or alias in (".", "..") or "\n" in alias:
        raise ValueError("must not contain `/` or a line break, or be `.` or `..`, since it is used in paths")
    return alias


def _hides_nothing(tag: str) -> str:
    """Return the tag. Raises ValueError for a tag by which LangGraph hides what a run shows, its questions included."""
    if tag == "nostream" or tag.startswith("langsmith:"):
        raise ValueError("must not be `nostream` or begin with `langsmith:`, since LangGraph hides runs with such tags")
    return tag


Alias = Annotated[Name, AfterValidator(_fits_a_path)]
RunTag = Annotated[Name, AfterValidator(_hides_nothing)]


class MessageConfig(BaseModel):
    """The settings of a message in LangGraph's config."""

    model_config = ConfigDict(extra="forbid")

    recursion_limit: Annotated[int, Field(strict=True, ge=1, le=MAX_RECURSION_LIMIT)] | None = Field(
        None, description="Steps that the graph may take. By default the graph's or LangGraph's own limit."
    )
    tags: Annotated[list[RunTag], Field(max_length=MAX_TAGS)] | None = Field(
        None, description="Tags of the run, for its traces."
    )
    configurable: JsonObject | None = Field(
        None, description="Values by key that the graph reads. The server's setting CONFIGURABLE_KEYS names the keys."
    )

    def run_config(self) -> RunConfig:
        """Return the config as the worker gets it."""
        return RunConfig(
            recursion_limit=self.recursion_limit,
            tags=tuple(dict.fromkeys(self.tags or ())),
            configurable=self.configurable or {},
        )


class MessageCreate(BaseModel):
    """A message for an agent. It has one of `message`, `input`, `command` and `continue`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"message": "What is the capital of France?", "priority": "normal", "thread_id": THREAD_ID}]
        },
    )

    input: JsonObject | None = Field(
        None,
        description="The input of the agent's graph, in place of a message. `GET /agents` shows the schema that it "
        "must fit. `messages` in it may be a whole conversation, for a message without a thread.",
    )
    command: MessageCommand | None = Field(
        None,
        description="A change of the state and nodes to go to, in place of a message. Needs a `thread_id`, and an "
        "agent that is a graph.",
    )
    continues: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        alias="continue",
        description="Whether the graph goes on where it stopped, in place of a message: at a node of "
        "`interrupt_before` or `interrupt_after`, or after a cancel. Needs a `thread_id`, and an agent that is a "
        "graph.",
    )
    message: MessageContent = Field(
        None,
        validate_default=True,
        description="The message of the user: a text that is not blank, or content blocks. Required without `input`, "
        "`command` and `continue`, and not allowed together with one of them.",
    )
    context: JsonObject | None = Field(
        None, description="The runtime context of the run. `GET /agents` shows the schema that it must fit."
    )
    config: MessageConfig | None = Field(None, description="Limits, tags and values for the run.")
    priority: Priority = Field(Priority.NORMAL, description="More urgent messages are claimed first.")
    thread_id: ThreadId | None = Field(
        None, description="The thread of the message. A new id begins a thread. By default the message has no thread."
    )
    agent: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The agent's name. By default the server's first agent."
    )
    checkpoint_id: Name | None = Field(
        None,
        description="The state of the thread that the run begins with, and from which the thread goes on. By default "
        "the newest state. Needs a `thread_id`, and an agent that is a graph.",
    )
    interrupt_before: StopNodes | None = Field(
        None, description="Nodes before which the run stops, or `*` for all. The message then completes."
    )
    interrupt_after: StopNodes | None = Field(
        None, description="Nodes after which the run stops, or `*` for all. The message then completes."
    )
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)] | None = Field(
        None, description="Attempts before the message fails for good. By default the server's setting."
    )
    timeout: Annotated[float, Field(strict=True, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="Seconds that one attempt may take. By default the server's setting."
    )
    run_at: TimeText | None = Field(
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
        "wrote to it, `messages` each piece of each message, and `tasks`, `checkpoints` and `debug` what LangGraph's "
        "stream modes of these names give. None by default.",
    )
    metadata: Metadata | None = Field(
        None,
        description="Texts, numbers, booleans and nulls by key, which are listed with the message and its thread. "
        "`GET /messages?metadata.KEY=value` finds messages by them. A null removes the key from the thread.",
    )
    name: Name | None = Field(None, description="A new name for the thread. Needs a `thread_id`.")
    client_message_id: Name | None = Field(
        None,
        description="The client's id for the message. The agent's memory and the events use it for the message of "
        "the user.",
    )
    aliases: Annotated[list[Alias], Field(min_length=1, max_length=MAX_ALIASES)] | None = Field(
        None,
        description="Further ids of the message. They work wherever a path has the id of a message, unless a message "
        "has this id. 409 if another message has one of them.",
    )
    subject: Subject | None = Field(
        None,
        description="The end user for whom the message is. Its thread then belongs to this end user. By default the "
        "end user of the caller's token or of the thread, if there is one.",
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

    @field_validator("command", "continues")
    @classmethod
    def _one_beginning(cls, value: object, info: ValidationInfo) -> object:
        if value and (info.data.get("input") is not None or info.data.get("command") is not None):
            raise ValueError("give one of message, input, command and continue")
        return value

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

    @field_validator("name")
    @classmethod
    def _of_a_named_thread(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "thread_id" in info.data and info.data["thread_id"] is None:
            raise ValueError("name needs a thread_id")
        return value

    @field_validator("checkpoint_id")
    @classmethod
    def _of_a_known_thread(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "thread_id" in info.data and info.data["thread_id"] is None:
            raise ValueError("checkpoint_id needs a thread_id")
        return value

    @field_validator("thread_id")
    @classmethod
    def _with_a_state(cls, value: str | None, info: ValidationInfo) -> str | None:
        for name in ("command", "continues"):
            if value is None and info.data.get(name):
                raise ValueError(f"{name.rstrip('s')} needs a thread_id")
        return value

    @field_validator("if_busy")
    @classmethod
    def _of_a_thread(cls, value: IfBusy, info: ValidationInfo) -> IfBusy:
        if value is not IfBusy.ENQUEUE and "thread_id" in info.data and info.data["thread_id"] is None:
            raise ValueError(f"{value} needs a thread_id")
        return value

    def new_message(self) -> NewMessage:
        """Return the message for the queue manager."""
        given = self.model_fields_set
        message = self.message
        options = None
        if isinstance(message, str):
            content = message
            if not _OPTIONS.isdisjoint(given):
                options = self._options()
        else:
            options = self._options()
            content = run_preview(RunInput() if options is None else options.run)
            if message is not None:
                content = blocks_preview(message)
        return NewMessage(
            content=content,
            priority=self.priority,
            thread_id=self.thread_id,
            agent=self.agent or "",
            options=options,
            run_at=self.run_at,
            delay_seconds=self.delay_seconds or 0.0,
            if_busy=self.if_busy,
            webhook_url=self.webhook_url,
            webhook_events=None if self.webhook_events is None else tuple(self.webhook_events),
            metadata=self.metadata,
            thread_name=self.name,
            aliases=() if self.aliases is None else tuple(dict.fromkeys(self.aliases)),
            subject=self.subject,
        )

    def _options(self) -> MessageOptions | None:
        """Return the options of the submission that only the worker reads; None if all have their defaults."""
        blocks = self.message if isinstance(self.message, list) else None
        options = MessageOptions(
            max_attempts=self.max_attempts,
            timeout_seconds=self.timeout,
            run=RunInput(
                blocks=None if blocks is None else tuple(block.standard() for block in blocks),
                input=self.input,
                context=self.context,
                config=RunConfig() if self.config is None else self.config.run_config(),
                events=tuple(dict.fromkeys(self.events or ())),
                message_id=self.client_message_id,
                continues=self.continues,
                command=None if self.command is None else self.command.graph_command(),
                interrupt_before=stop_nodes(self.interrupt_before),
                interrupt_after=stop_nodes(self.interrupt_after),
                checkpoint_id=self.checkpoint_id,
            ),
        )
        return None if options == _NO_OPTIONS else options


_OPTIONS = frozenset(
    {
        *("max_attempts", "timeout", "context", "config", "events", "client_message_id"),
        *("interrupt_before", "interrupt_after", "checkpoint_id"),
    }
)
"""Fields that are stored in the options of a message. So are blocks, `input`, `command` and `continue`."""

_NO_OPTIONS = MessageOptions()


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


class MessageRegenerate(BaseModel):
    """The fields that the new message does not take over from the message that it replaces."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}, {"priority": "high"}]})

    priority: Priority | None = Field(None, description="By default the priority of the earlier message.")
    if_busy: Literal["reject", "interrupt"] = Field(
        "reject",
        description="What to do if the thread has unfinished messages. `reject`: refuse with 409, unless the only one "
        "waits for a human; that message is then cancelled. `interrupt`: cancel them.",
    )
    metadata: Metadata | None = Field(None, description="By default the metadata of the earlier message.")

    def regeneration(self) -> Regeneration:
        """Return the request for the thread manager."""
        return Regeneration(self.priority, IfBusy(self.if_busy), self.metadata)


class MessageAnswer(BaseModel):
    """The answer to an interrupted message: `value` for its only question, or `values` by the ids of its questions."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"value": "yes"}, {"values": {"6c53cbb3d1a5": True}}]}
    )

    value: Any = Field(None, description="Any JSON.")
    values: dict[str, Any] | None = Field(None, description="Any JSON for each question.")
    alias: Alias | None = Field(
        None,
        description="A further id of the message, from this answer on. Its stream begins with the event `resumed`. 409 "
        "if another message has it.",
    )

    def answer(self) -> ResumeAnswer:
        """Return the answer for the queue manager. Raises InvalidRequest unless exactly one field is given."""
        if (self.values is not None) == ("value" in self.model_fields_set):
            raise InvalidRequest("value: expected either value or values", field="value")
        return ResumeAnswer(self.value, self.values, self.alias)
