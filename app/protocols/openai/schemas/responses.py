"""Bodies of requests about responses and conversations."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ....api.schemas.metadata import Metadata
from ....models.types import Text
from ....text import storable_value
from ..ids import tool_call_in
from ..output_items import ASK_HUMAN
from .fields import MAX_MESSAGES, Content, Name, NotTaken, ServiceTier, Url

ANSWER, CALL, MESSAGE, REASONING = "function_call_output", "mcp_call", "message", "reasoning"
FUNCTION_CALL, REFERENCE = "function_call", "item_reference"
TYPES = (ANSWER, CALL, MESSAGE, REASONING, FUNCTION_CALL, REFERENCE)


class InputItem(BaseModel):
    """An item of the input: a message, the answer to a question, an item of an earlier output, or its id."""

    model_config = ConfigDict(extra="ignore")

    type: str = MESSAGE
    id: Name | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Content | None = None
    call_id: Name | None = None
    output: Any = None
    name: Name | None = None
    arguments: Text | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if value not in TYPES:
            raise ValueError(f"this server does not take items of the type {value!r}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _without_reasoning(cls, value: Any) -> Any:
        """Leave out the content of reasoning, which agents do not take back."""
        if isinstance(value, dict) and value.get("type") == REASONING:
            return {"type": REASONING}
        return value

    @model_validator(mode="before")
    @classmethod
    def _as_reference(cls, value: Any) -> Any:
        """Take an object with nothing but an id for a reference, as OpenAI's server does."""
        return {"type": REFERENCE, **value} if isinstance(value, dict) and value.keys() == {"id"} else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.type == MESSAGE and (self.role is None or self.content is None):
            raise ValueError("a message needs a role and a content")
        if self.type == ANSWER and (self.call_id is None or self.output is None):
            raise ValueError("an answer needs the call_id and the output")
        if self.type == CALL and (self.id is None or self.name is None or self.arguments is None):
            raise ValueError("a call needs the id, the name and the arguments")
        if self.type == FUNCTION_CALL and (self.call_id is None or self.name is None or self.arguments is None):
            raise ValueError("a call of a function needs the call_id, the name and the arguments")
        if self.type == REFERENCE and self.id is None:
            raise ValueError("a reference needs the id of the item")
        return self

    def messages(self, outputs: Mapping[str | None, Any]) -> list[dict[str, Any]]:
        """Return the messages that the item stands for, as agents take them.

        `outputs` has those of function calls by the calls' ids. Reasoning stands for no message, nor does the output of
        a call, since the call stands for both.
        """
        if self.type in (CALL, FUNCTION_CALL):
            call_id, output = (self.id, self.output) if self.type == CALL else (self.call_id, outputs[self.call_id])
            model_id = tool_call_in(str(call_id))
            called = {"id": model_id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}
            text = output if isinstance(output, str) else json.dumps(output)
            return [
                {"role": "assistant", "content": "", "tool_calls": [called]},
                {"role": "tool", "tool_call_id": model_id, "name": self.name, "content": text},
            ]
        if self.type != MESSAGE:
            return []
        role = "system" if self.role == "developer" else self.role
        return [{"role": role, "content": self.content, **({"id": self.id} if self.id else {})}]

    def answer(self) -> Any:
        """Return the answer to a question. A text that is a JSON object or a JSON array stands for that value."""
        output = self.output
        if isinstance(output, list):
            output = "".join(str(part.get("text", "")) for part in output if isinstance(part, dict))
        try:
            value = json.loads(output)
        except (ValueError, TypeError, RecursionError):
            return output
        return storable_value(value) if isinstance(value, dict | list) else output


def _as_items(value: Any) -> Any:
    """Return a text as the message of a user. Raises ValueError for a blank one."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise ValueError("expected a text that is not blank")
    return [{"role": "user", "content": value}]


Items = Annotated[list[InputItem], BeforeValidator(_as_items), Field(min_length=1, max_length=MAX_MESSAGES)]


class NamedConversation(BaseModel):
    """A conversation by its id."""

    model_config = ConfigDict(extra="ignore")

    id: Name


class TextConfig(BaseModel):
    """The form of the answer: a text."""

    model_config = ConfigDict(extra="ignore")

    class Format(BaseModel):
        """The format of a text."""

        model_config = ConfigDict(extra="ignore")

        type: Literal["text"]

    format: Format | None = None


def _only_questions(value: Any) -> Any:
    """Return a list that declares no tool but the one by which agents ask. Raises ValueError for another."""
    for each in value if isinstance(value, list) else [value] if value else []:
        if not isinstance(each, dict) or (each.get("type"), each.get("name")) != ("function", ASK_HUMAN):
            raise ValueError(
                f"agents bring their own tools, and ask by the function {ASK_HUMAN!r} alone. Leave other tools out."
            )
    return value


Tools = Annotated[Any, AfterValidator(_only_questions)]


class ResponseCreate(BaseModel):
    """A new response. Sampling parameters and further hints are ignored: agents choose their own.

    `webhook_url` is this server's own field. It gets the events that OpenAI's clients unwrap.
    """

    model_config = ConfigDict(extra="ignore")

    model: Name
    input: Items
    instructions: Text | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: Name | None = None
    conversation: NamedConversation | Name | None = None
    metadata: Metadata | None = None
    service_tier: ServiceTier = None
    webhook_url: Url | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: Tools = None
    prompt: NotTaken = None
    max_tool_calls: NotTaken = None
    context_management: NotTaken = None
    moderation: NotTaken = None

    @model_validator(mode="after")
    def _one_past(self) -> Self:
        if self.conversation is not None and self.previous_response_id is not None:
            raise ValueError("give either conversation or previous_response_id")
        if self.store is False and (self.conversation or self.previous_response_id):
            raise ValueError("a response that goes on with another one is stored")
        return self

    @property
    def conversation_id(self) -> str | None:
        """Return the id of the conversation."""
        return self.conversation.id if isinstance(self.conversation, NamedConversation) else self.conversation

    @property
    def answers(self) -> list[InputItem]:
        """Return the items at the end of the input that answer calls."""
        others = [at for at, item in enumerate(self.input, 1) if item.type != ANSWER]
        return self.input[others[-1] if others else 0 :]

    @property
    def given(self) -> list[dict[str, Any]]:
        """Return the messages of the turn as agents take them. Each call of a function has its output in the input."""
        outputs = {item.call_id: item.output for item in self.input if item.type == ANSWER}
        said = [message for item in self.input for message in item.messages(outputs)]
        return said if self.instructions is None else [{"role": "system", "content": self.instructions}, *said]


class ConversationCreate(BaseModel):
    """A new conversation."""

    model_config = ConfigDict(extra="ignore")

    metadata: Metadata | None = None
    items: NotTaken = None


class ConversationChange(BaseModel):
    """A change of a conversation."""

    model_config = ConfigDict(extra="ignore")

    metadata: Metadata
