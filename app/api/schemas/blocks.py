"""The content of a message: a text, or a list of content blocks in LangChain's standard form."""

import binascii
import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core.core_schema import ValidationInfo

from ...models.types import JsonObject, Text
from ...text import is_http_url, not_blank

MAX_BLOCKS = 100
MAX_BLOCK_URL_LENGTH = 8_192

TEXT, BLOCKS, NOTHING = FORMS = ("=text", "=blocks", "=nothing")
"""The forms of a message. Pydantic puts them into the places of its errors; `app.api.field_errors` removes them."""

MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)

SOURCES = ("url", "base64", "file_id")


def _web_address(url: str) -> str:
    if not is_http_url(url):
        raise ValueError("expected http:// or https:// with a host; give the data of a file as `base64`")
    return url


def _base64(data: str) -> str:
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:  # also for characters beyond ASCII
        decoded = b""
    if not decoded:
        raise ValueError("expected data in base64, without line ends")
    return data


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[Text, Field(min_length=1, max_length=255)] | None = Field(None, description="The id of the block.")
    extras: JsonObject | None = Field(
        None, description="What only the model's provider reads, such as `filename` for a file."
    )

    def standard(self) -> dict[str, Any]:
        """Return the block in LangChain's standard form."""
        return self.model_dump(exclude_none=True)


class TextBlock(_Block):
    """A text."""

    type: Literal["text"]
    text: Annotated[Text, Field(min_length=1), AfterValidator(not_blank)]


class _Media(_Block):
    type: str
    mime_type: Annotated[Text, Field(max_length=255)] | None = Field(
        None, description="The media type, such as `image/png`. Required with `base64`."
    )
    base64: Annotated[str, Field(strict=True), AfterValidator(_base64)] | None = Field(
        None, description="The data in base64."
    )
    file_id: Annotated[Text, Field(min_length=1, max_length=255)] | None = Field(
        None, description="The id of a file at the model's provider."
    )
    url: Annotated[Text, Field(max_length=MAX_BLOCK_URL_LENGTH), AfterValidator(_web_address)] | None = Field(
        None,
        validate_default=True,
        description="Where the model's provider finds the data: `http` or `https`. Exactly one of `url`, `base64` and "
        "`file_id` is given.",
    )

    @field_validator("mime_type")
    @classmethod
    def _of_this_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not MEDIA_TYPE.fullmatch(value):
            raise ValueError("expected a media type, such as image/png")
        kind = info.data.get("type", "file")
        if kind != "file" and not value.lower().startswith(f"{kind}/"):
            raise ValueError(f"expected a media type of {kind}, such as {_EXAMPLES[kind]}")
        return value

    @field_validator("base64")
    @classmethod
    def _of_a_media_type(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "mime_type" in info.data and info.data["mime_type"] is None:
            raise ValueError("base64 needs a mime_type")
        return value

    @field_validator("url")
    @classmethod
    def _one_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not {"base64", "file_id"} <= info.data.keys():
            return value  # they have errors of their own
        given = [name for name, each in (("url", value), *info.data.items()) if name in SOURCES and each is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of url, base64 and file_id, not {' and '.join(given) or 'none'}")
        return value


class ImageBlock(_Media):
    """An image."""

    type: Literal["image"]


class AudioBlock(_Media):
    """A sound."""

    type: Literal["audio"]


class VideoBlock(_Media):
    """A video."""

    type: Literal["video"]


class FileBlock(_Media):
    """A file of any other type, such as a PDF."""

    type: Literal["file"]


_EXAMPLES = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}

ContentBlock: TypeAlias = TextBlock | ImageBlock | AudioBlock | VideoBlock | FileBlock
Blocks = Annotated[
    list[Annotated[ContentBlock, Field(discriminator="type")]], Field(min_length=1, max_length=MAX_BLOCKS)
]


INSTEAD = ("input", "command", "continues")
"""Fields of the model that may be given in place of a message. They come before it."""


def _once(value: Any, info: ValidationInfo) -> Any:
    """Return the content of a message. Raises ValueError if the request also has one of INSTEAD."""
    given = info.data
    if given.get("input") is not None or given.get("command") is not None or given.get("continues"):
        raise ValueError("give one of message, input, command and continue")
    return value


def _message_text(value: str, info: ValidationInfo) -> str:
    return _once(not_blank(value), info)  # type: ignore[no-any-return]  # it returns its argument


def _no_message(value: None, info: ValidationInfo) -> None:
    if [info.data.get(name, info) for name in INSTEAD] == [value, value, False]:
        raise ValueError("expected a message or an input")


def _form_of(value: object) -> str | None:
    if isinstance(value, str):
        return TEXT
    if value is None:
        return NOTHING
    return BLOCKS if isinstance(value, list) else None


MessageContent = Annotated[
    Annotated[Text, Field(min_length=1), AfterValidator(_message_text), Tag(TEXT)]
    | Annotated[Blocks, AfterValidator(_once), Tag(BLOCKS)]
    | Annotated[None, AfterValidator(_no_message), Tag(NOTHING)],
    Discriminator(
        _form_of,
        custom_error_type="message_form",
        custom_error_message="expected a text or a list of content blocks",
    ),
]
"""The type of the field `message`. The fields of INSTEAD come before it."""


def blocks_preview(blocks: list[ContentBlock]) -> str:
    """Return the texts of the blocks, or else the types of the blocks."""
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    return "\n".join(texts) if texts else " ".join(f"[{block.type}]" for block in blocks)
