"""Bodies of requests that chat pages of the AI SDK send."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core.core_schema import ValidationInfo

from ...api.schemas.blocks import MAX_BLOCK_URL_LENGTH, MAX_BLOCKS, ContentBlock
from ...api.schemas.metadata import Metadata
from ...api.schemas.submissions import MessageConfig
from ...models.messages import Priority
from ...models.types import JsonObject, Text
from ..thread_names import ThreadName

Name = Annotated[Text, Field(min_length=1, max_length=255)]

_DATA_URL = re.compile(r"data:([^;,]*)(;[^,]*)?;base64,", re.ASCII)
_MEDIA = ("image", "audio", "video")
_OF_BLOCKS = {"mime_type": "mediaType", "base64": "url"}
"""The names that pages have for fields of blocks."""

_block: TypeAdapter[ContentBlock] = TypeAdapter(Annotated[ContentBlock, Field(discriminator="type")])


class UserPart(BaseModel):
    """A text of the user, or a file: its data in the URL, or where the model's provider finds it."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text", "file"]
    text: Text = ""
    media_type: Annotated[Text, Field(alias="mediaType", max_length=255)] = ""
    filename: Annotated[Text, Field(max_length=1_000)] | None = None
    url: Text = ""

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        self.block()  # raises ValueError
        return self

    def block(self) -> dict[str, Any] | None:
        """Return the part as a content block in LangChain's standard form.

        None for a blank text, which a page sends beside files. Raises ValueError for a file that cannot be a block.
        """
        if self.type == "text":
            return {"type": "text", "text": self.text} if self.text.strip() else None
        kind = self.media_type.partition("/")[0].lower()
        given: dict[str, Any] = {"type": kind if kind in _MEDIA else "file", "mime_type": self.media_type}
        if self.filename is not None:
            given["extras"] = {"filename": self.filename}
        if (data := _DATA_URL.match(self.url)) is not None:
            given["base64"] = self.url[data.end() :]
        elif len(self.url) > MAX_BLOCK_URL_LENGTH:
            raise ValueError(f"url: expected at most {MAX_BLOCK_URL_LENGTH} characters, or data in base64")
        else:
            given["url"] = self.url
        try:
            return _block.validate_python(given).standard()
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][-1])
            told = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{_OF_BLOCKS.get(name, name)}: {told}") from None


class ChatMessage(BaseModel):
    """The last message of a chat: one of the user, or one of the assistant with the user's answers in its parts.

    The agent's memory keeps the id of a message of the user.
    """

    model_config = ConfigDict(extra="ignore")

    role: Literal["user", "assistant"]
    id: Name
    parts: Annotated[list[UserPart], Field(max_length=MAX_BLOCKS, validate_default=True)] = []
    answered: list[JsonObject] = []

    @field_validator("parts")
    @classmethod
    def _with_content(cls, parts: list[UserPart], info: ValidationInfo) -> list[UserPart]:
        if info.data.get("role") == "user" and not any(part.block() for part in parts):
            raise ValueError("expected a text that is not blank, or a file")
        return parts

    def blocks(self) -> list[dict[str, Any]]:
        """Return the parts of the user as content blocks."""
        return [block for part in self.parts if (block := part.block()) is not None]


def _last(messages: Any) -> Any:
    """Return the last message, which alone counts: the server knows the earlier ones."""
    if not isinstance(messages, list) or not messages:
        raise ValueError("expected a list of at least one message")
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return last
    parts = last.get("parts")
    return {**last, "parts": [], "answered": parts if isinstance(parts, list) else []}


class ChatRequest(BaseModel):
    """The request of a page for an answer. The fields after `messageId` are this server's own."""

    model_config = ConfigDict(extra="forbid")

    id: ThreadName
    message: Annotated[ChatMessage, BeforeValidator(_last), Field(alias="messages")]
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: Annotated[Name | None, Field(alias="messageId")] = None
    agent: Name | None = None
    priority: Priority | None = None
    context: JsonObject | None = None
    config: MessageConfig | None = None
    metadata: Metadata | None = None
