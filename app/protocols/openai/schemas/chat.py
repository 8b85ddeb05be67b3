"""The body of a chat completion."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ....api.schemas.metadata import Metadata
from ....models.types import Text
from .fields import MAX_MESSAGES, Content, Name, NotTaken, ServiceTier

ROLES = {"developer": "system"}
"""The roles of messages that agents know under another name."""


class ToolFunction(BaseModel):
    """The function that a message called."""

    model_config = ConfigDict(extra="ignore")

    name: Name
    arguments: Text


class MadeCall(BaseModel):
    """A call in an earlier message of the model."""

    model_config = ConfigDict(extra="ignore")

    id: Name
    type: Literal["function"] = "function"
    function: ToolFunction


class ChatMessage(BaseModel):
    """A message of the conversation."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: Text | None = None
    tool_calls: list[MadeCall] | None = None
    tool_call_id: Name | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of a tool needs the tool_call_id")
        if self.content is None and not self.tool_calls:
            raise ValueError("expected a content")
        return self

    def as_given(self) -> dict[str, Any]:
        """Return the message as agents take it."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {**given, "role": ROLES.get(self.role, self.role), "content": given.get("content", "")}


class StreamOptions(BaseModel):
    """Options of a stream. Others concern servers that pad their frames."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = None


class TextFormat(BaseModel):
    """The form of the answer: a text."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text"]


class ChatCreate(BaseModel):
    """A new chat completion. Sampling parameters and further hints are ignored: agents choose their own."""

    model_config = ConfigDict(extra="ignore")

    model: Name
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    service_tier: ServiceTier = None
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    tool_choice: Literal["none", "auto"] | None = None
    modalities: list[Literal["text"]] | None = None
    tools: NotTaken = None
    functions: NotTaken = None
    function_call: NotTaken = None
    logprobs: NotTaken = None
    top_logprobs: NotTaken = None
    audio: NotTaken = None
    web_search_options: NotTaken = None

    @property
    def given(self) -> list[dict[str, Any]]:
        """Return the messages as agents take them."""
        return [message.as_given() for message in self.messages]

    @property
    def includes_usage(self) -> bool:
        """Return whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)
