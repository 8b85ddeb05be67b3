"""Makes messages of the queue, and answers to questions, of what clients send. Pure."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict
from pydantic import Field, TypeAdapter, ValidationError

from ...api.field_errors import detail_of
from ...api.schemas.blocks import MAX_BLOCKS, ContentBlock
from ...api.schemas.metadata import Metadata
from ...errors import InvalidRequest
from ...models.inputs import RunInput
from ...models.messages import MessageOptions, NewMessage
from ...models.requests import ResumeAnswer
from ...models.types import Text
from ...policy.input_preview import input_preview, run_preview
from ...text import is_http_url
from ..thread_names import ThreadName
from .calls import MAX_ID_LENGTH
from .dialects import Names
from .fields import refused
from .json_forms import with_whole_numbers

_name: TypeAdapter[str] = TypeAdapter(Annotated[Text, Field(min_length=1, max_length=MAX_ID_LENGTH)])
_thread_id: TypeAdapter[str] = TypeAdapter(ThreadName)
_metadata: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)
_block: TypeAdapter[ContentBlock] = TypeAdapter(Annotated[ContentBlock, Field(discriminator="type")])

NO_CONTENT = "message.parts: expected a text that is not blank, data or a file"


def checked(request: pb.SendMessageRequest, names: Names) -> pb.Message:
    """Return the message of a request. Raises InvalidRequest if something about it cannot be carried out."""
    if not request.HasField("message"):
        raise refused("message", "expected a message")
    message: pb.Message = request.message
    if message.role != pb.Role.ROLE_USER:
        raise refused("message.role", f"expected {names.user}, since agents answer users")
    _fit(_name, message.message_id, "message.messageId")
    if len(message.parts) > MAX_BLOCKS:
        raise InvalidRequest(f"message.parts: expected at most {MAX_BLOCKS} parts", field="message.parts")
    return message


def new_message(request: pb.SendMessageRequest, agent: str, fields: frozenset[str] | None, names: Names) -> NewMessage:
    """Return the message for the queue manager. Raises InvalidRequest, which names the field.

    Data with no other keys than `fields` is the agent's input. None means any data.
    """
    message: pb.Message = request.message
    thread_id = _fit(_thread_id, message.context_id, "message.contextId") if message.context_id else None
    run = _run_of(message, fields, names)
    content = _content_of(run)
    if content is None:
        content = run_preview(run)
    if run.blocks is not None and len(run.blocks) == 1 and run.blocks[0]["type"] == "text":
        run = run.model_copy(update={"blocks": None})
    return NewMessage(
        content=content,
        thread_id=thread_id,
        agent=agent,
        options=MessageOptions(run=run),
        metadata=_metadata_of(request) or None,
    )


def answer_of(message: pb.Message, asked: Sequence[str]) -> ResumeAnswer:
    """Return the answer that a message gives to the questions with these ids. Raises InvalidRequest."""
    given = [_value_of(part) for part in message.parts]
    if len(given) == 1 and isinstance(given[0], dict) and given[0] and given[0].keys() <= set(asked):
        return ResumeAnswer(values=given[0])
    if len(asked) != 1:
        told = f"the task asks {len(asked)} questions. Send one part with `data`: an answer by the id of each question"
        raise InvalidRequest(f"message.parts: {told}", field="message.parts")
    if len(given) == 1:
        return ResumeAnswer(value=given[0])
    if given and all(part.HasField("text") for part in message.parts):
        return ResumeAnswer(value="\n".join(map(str, given)))
    told = "an answer is one part with `text` or with `data`"
    raise InvalidRequest(f"message.parts: {told}", field="message.parts")


def _run_of(message: pb.Message, fields: frozenset[str] | None, names: Names) -> RunInput:
    """Return the input of a run."""
    if len(message.parts) == 1 and message.parts[0].HasField("data"):
        value = _value_of(message.parts[0])
        if isinstance(value, dict) and _is_input(value, fields):
            return RunInput(input=value, message_id=message.message_id)
    blocks = [
        block
        for number, part in enumerate(message.parts)
        if (block := _block_of(part, f"message.parts.{number}.", names)) is not None
    ]
    if not blocks:
        raise InvalidRequest(NO_CONTENT, field="message.parts")
    return RunInput(blocks=tuple(blocks), message_id=message.message_id)


def _is_input(value: Mapping[str, Any], fields: frozenset[str] | None) -> bool:
    return fields is None or (bool(value) and value.keys() <= fields)


def _content_of(run: RunInput) -> str | None:
    """Return the text of a message, or what stands for it in lists; None for an input."""
    if run.blocks is None:
        return None
    if len(run.blocks) == 1 and run.blocks[0]["type"] == "text":
        return str(run.blocks[0]["text"])
    if any(block["type"] == "text" for block in run.blocks):
        return input_preview({"messages": [{"role": "user", "content": list(run.blocks)}]})
    return " ".join(f"[{block['type']}]" for block in run.blocks)


def _block_of(part: pb.Part, place: str, names: Names) -> dict[str, Any] | None:
    """Return a part as a block in LangChain's standard form; None for a blank text.

    `place` begins the names of the fields of the part.
    """
    match part.WhichOneof("content"):
        case "text":
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case "data":
            return {"type": "text", "text": json.dumps(_value_of(part), ensure_ascii=False)}
        case "raw":
            source = {"base64": base64.b64encode(part.raw).decode()}
        case "url":
            if not is_http_url(part.url):
                told = f"expected http:// or https:// with a host. Give the data of a file as `{names.raw}`"
                raise refused(f"{place}{names.url}", told)
            source = {"url": part.url}
        case _:
            raise InvalidRequest(NO_CONTENT, field="message.parts")
    media_type = part.media_type or None
    kind = (media_type or "").partition("/")[0]
    given: dict[str, Any] = {"type": kind if kind in ("image", "audio", "video") else "file", **source}
    if media_type is not None:
        given["mime_type"] = media_type
    elif part.WhichOneof("content") == "raw":
        given["mime_type"] = "application/octet-stream"
    if part.filename:
        given["extras"] = {"filename": part.filename}
    try:
        return _block.validate_python(given).standard()
    except ValidationError as error:
        first = error.errors()[0]
        field = {"url": names.url, "mime_type": names.media_type}.get(str(first["loc"][-1]), names.raw)
        raise refused(f"{place}{field}", detail_of(first)) from None


def _value_of(part: pb.Part) -> Any:
    """Return what a part of an answer says. Raises InvalidRequest for a file."""
    match part.WhichOneof("content"):
        case "text":
            return part.text
        case "data":
            return with_whole_numbers(MessageToDict(part.data))
    told = "an answer is one part with `text` or with `data`"
    raise InvalidRequest(f"message.parts: {told}", field="message.parts")


def _metadata_of(request: pb.SendMessageRequest) -> dict[str, Any]:
    """Return the metadata of a request and its message. Values that native metadata cannot have become JSON texts."""
    given = with_whole_numbers({**MessageToDict(request.message.metadata), **MessageToDict(request.metadata)})
    flat = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in given.items()
    }
    return dict(_fit(_metadata, flat, "metadata"))


def _fit(adapter: TypeAdapter[Any], value: Any, field: str) -> Any:
    """Return a value of a type. Raises InvalidRequest, which names the field."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise refused(field, detail_of(first)) from None
