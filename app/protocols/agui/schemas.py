"""The body of a request: the protocol's `RunAgentInput`, without what this server cannot carry out."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from ag_ui.core import (
    AssistantMessage,
    ContentPart,
    Context,
    DeveloperMessage,
    Message,
    ResumeEntry,
    RunAgentInput,
    SystemMessage,
    TextPart,
    Tool,
    ToolMessage,
    UserMessage,
)
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from ...api.schemas.blocks import MAX_BLOCKS, ContentBlock
from ...api.schemas.metadata import Metadata
from ...api.schemas.submissions import MessageConfig
from ...models.messages import Priority
from ...models.types import JsonObject, Text, ThreadId
from ...text import storable_value

MAX_NAME_LENGTH = 255

Name = Annotated[Text, Field(min_length=1, max_length=MAX_NAME_LENGTH)]

Input = UserMessage | SystemMessage | DeveloperMessage
"""Messages that an agent is given. The others are answers, or what a page shows beside them."""

_SOURCES = {"data": "base64", "url": "url", "file": "file_id"}
"""The fields of blocks by the types of sources."""

_block: TypeAdapter[ContentBlock] = TypeAdapter(Annotated[ContentBlock, Field(discriminator="type")])


class ForwardedProps(BaseModel):
    """The properties that this server takes: those of a native message under the same names."""

    model_config = ConfigDict(extra="forbid")

    priority: Priority | None = None
    context: JsonObject | None = None
    config: MessageConfig | None = None
    metadata: Metadata | None = None


class Answer(ResumeEntry):
    """The answer to a question, or its refusal."""

    interrupt_id: Name
    status: Literal["resolved", "cancelled"]
    payload: Annotated[Any, AfterValidator(storable_value)] = None


def _thread_id(value: str) -> str:
    """Return the id of a thread. Raises ValueError for an id that clients remove from paths."""
    if value in (".", ".."):
        raise ValueError("expected another id than `.` and `..`, which no path can have")
    return value


class AgentRun(RunAgentInput):
    """The request of a page for a run: new messages, answers to questions, or neither to read the thread."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=False)

    thread_id: Annotated[ThreadId, AfterValidator(_thread_id)]
    run_id: Name
    parent_run_id: Name | None = None
    forwarded_props: ForwardedProps | None = None
    resume: list[Answer] | None = None  # type: ignore[assignment]  # each of them is one of the protocol's
    state: JsonObject | None = None

    @field_validator("tools", "context")
    @classmethod
    def _storable(cls, value: list[Tool] | list[Context] | None) -> list[Tool] | list[Context] | None:
        for each in value or ():
            storable_value(each.model_dump(mode="json"))
        return value

    @field_validator("resume")
    @classmethod
    def _asked_once(cls, value: list[Answer] | None) -> list[Answer] | None:
        twice = _repeated(each.interrupt_id for each in value or () if each.status == "resolved")
        if twice is not None:
            raise ValueError(f"the question {twice!r} has two answers here; send one of them")
        return value

    @field_validator("messages")
    @classmethod
    def _usable(cls, value: list[Message]) -> list[Message]:
        for each in value:
            storable_value(each.model_dump(mode="json"))
        for new in new_messages(value):
            if not 0 < len(new.id) <= MAX_NAME_LENGTH:
                raise ValueError(f"id: expected 1 to {MAX_NAME_LENGTH} characters")
            if not isinstance(new, ToolMessage):
                blocks_of(new)  # raises ValueError
        twice = _repeated(each.id for each in new_messages(value))
        if twice is not None:
            raise ValueError(f"id: two new messages have the id {twice!r}; give each one of its own")
        return value

    @property
    def new(self) -> list[Input | ToolMessage]:
        """Return the messages after the last one of the agent, with the results of its tools."""
        return new_messages(self.messages)

    @property
    def has_answers(self) -> bool:
        """Return whether the agent has said something in the page's messages."""
        return any(isinstance(each, AssistantMessage) for each in self.messages)

    @property
    def props(self) -> ForwardedProps:
        """Return the forwarded properties."""
        return self.forwarded_props or ForwardedProps()


def _repeated(names: Iterable[str]) -> str | None:
    """Return the first name that comes twice; None without one."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def new_messages(messages: Sequence[Message]) -> list[Input | ToolMessage]:
    """Return the messages after the last one of the agent. The server knows those before it.

    Results of tools are among them: the agent's own ones, which the server knows too, and those of the page.
    """
    found: list[Input | ToolMessage] = []
    for each in reversed(messages):
        if not isinstance(each, Input | ToolMessage):
            break
        found.append(each)
    return found[::-1] if any(isinstance(each, UserMessage | ToolMessage) for each in found) else []


def blocks_of(message: Input) -> list[dict[str, Any]]:
    """Return the content of a message as blocks in LangChain's standard form. Blank texts beside others are left out.

    Raises ValueError for content that no block can have, or none.
    """
    content = message.content
    if isinstance(content, str):
        blocks = [{"type": "text", "text": content}] if content.strip() else []
    elif len(content) > MAX_BLOCKS:
        raise ValueError(f"content: expected at most {MAX_BLOCKS} parts")
    else:
        blocks = [block for part in content if (block := _block_of(part)) is not None]
    if not blocks:
        raise ValueError("content: expected a text that is not blank, or a file")
    return blocks


def _block_of(part: ContentPart) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    kind = "file" if part.type == "document" else part.type
    source = part.source
    given: dict[str, Any] = {"type": kind, _SOURCES[source.type]: source.value, "mime_type": source.mime_type}
    if isinstance(part.metadata, dict) and isinstance(part.metadata.get("filename"), str):
        given["extras"] = {"filename": part.metadata["filename"]}
    try:
        return _block.validate_python(given).standard()
    except ValidationError as error:
        first = error.errors()[0]
        name = "mimeType" if first["loc"][-1] == "mime_type" else "value"
        told = first["msg"].removeprefix("Value error, ").replace("as `base64`", "with the type `data`")
        raise ValueError(f"source.{name}: {told}") from None
