"""The frames of the WebSocket: one JSON object in each text frame. `app.api.websocket` serves the connection.

`docs/reference/websocket.md` describes the frames to clients. `make docs` makes their JSON Schema from these models.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import from_json
from starlette.responses import Response

from ..access.scopes import AccessScope, needs, public
from ..models.messages import MessageState
from ..models.types import Text
from .deps import MAX_KEY_LENGTH
from .errors import invalid
from .json_limits import MAX_JSON_VALUES, check_json_values
from .schemas.examples import MESSAGE_ID, THREAD_ID
from .schemas.messages import MessageAccepted
from .schemas.problems import Problem
from .schemas.submissions import MessageAnswer, MessageCreate
from .streaming import MAX_EVENT_ID

RequestId = Annotated[
    Text, Field(min_length=1, max_length=128, description="Chosen by the client. The answer to the frame repeats it.")
]
IdempotencyKey = Annotated[
    str,
    Field(
        strict=True,
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        pattern="^[!-~]+$",
        description="Identifies the request. It is carried out only once, even if it is sent again within a day.",
    ),
]
TraceParent = Annotated[
    str,
    Field(
        strict=True,
        description="The client's place in a trace, as the header of this name. A malformed one is ignored.",
    ),
]
TraceState = Annotated[str, Field(strict=True, description="Further fields of the trace, as the header of this name.")]
ReplyTraceParent = Annotated[
    str | None, Field(description="The span of this request or of its caller; null if there is neither.")
]
MessageId = Annotated[str, Field(strict=True, description="The message's id, from `accepted`, or one of its aliases.")]


def _example(schema: Mapping[str, Any] | None = None, /, **fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={**(schema or {}), "examples": [fields]})


@needs(AccessScope.SUBMIT)
class Submit(MessageCreate):
    """Put a message into the queue. The answer is `accepted`, then the message's events follow."""

    model_config = _example(
        {"anyOf": [{"required": ["message"]}, {"required": ["input"]}]},
        type="submit",
        request_id="1",
        message="What is the capital of France?",
        priority="normal",
        thread_id=THREAD_ID,
    )

    type: Literal["submit"]
    request_id: RequestId | None = None
    idempotency_key: IdempotencyKey | None = None
    traceparent: TraceParent | None = None
    tracestate: TraceState | None = None
    subscribe: StrictBool = Field(default=True, description="Also send the events of the message.")


@needs(AccessScope.READ)
class Subscribe(BaseModel):
    """Send a message's events. The answer is `subscribed`, then events with ids above `after`, then `ended`."""

    model_config = _example(type="subscribe", request_id="2", message_id=MESSAGE_ID, after=17)

    type: Literal["subscribe"]
    request_id: RequestId | None = None
    message_id: MessageId
    after: Annotated[int, Field(strict=True, ge=0, le=MAX_EVENT_ID)] = Field(
        0, description="The id of the last event that the client has seen."
    )


@needs(AccessScope.READ)
class Unsubscribe(BaseModel):
    """Send no more events of a message. The message itself goes on. The answer is `unsubscribed`."""

    model_config = _example(type="unsubscribe", request_id="3", message_id=MESSAGE_ID)

    type: Literal["unsubscribe"]
    request_id: RequestId | None = None
    message_id: MessageId


@needs(AccessScope.CONTROL)
class Cancel(BaseModel):
    """Cancel an unfinished message. The answer is `cancelled`, or `cancelling` while the message is being stopped."""

    model_config = _example(type="cancel", request_id="4", message_id=MESSAGE_ID)

    type: Literal["cancel"]
    request_id: RequestId | None = None
    message_id: MessageId


@needs(AccessScope.CONTROL)
class Resume(MessageAnswer):
    """Answer an interrupted message, with `value`, or with `values` by the ids of its questions.

    The answer is `resumed`. Subscribers of the message get the events that follow.
    """

    model_config = _example(type="resume", request_id="5", message_id=MESSAGE_ID, value="yes")

    type: Literal["resume"]
    request_id: RequestId | None = None
    idempotency_key: IdempotencyKey | None = None
    traceparent: TraceParent | None = None
    tracestate: TraceState | None = None
    message_id: MessageId


@public
class Ping(BaseModel):
    """Ask for a `pong`, which is sent before the answers to earlier requests."""

    model_config = _example(type="ping", request_id="6")

    type: Literal["ping"]
    request_id: RequestId | None = None


_OURS = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)


class _Answer(BaseModel):
    model_config = _OURS

    request_id: RequestId | None


class Accepted(MessageAccepted):
    """The message is stored and survives a crash of the server."""

    model_config = ConfigDict(**_OURS, json_schema_extra={})

    type: Literal["accepted"] = "accepted"
    request_id: RequestId | None
    replayed: bool = Field(description="An earlier request with the same key stored the message.")
    subscribed: bool = Field(description="The message's events follow.")
    traceparent: ReplyTraceParent


class Subscribed(_Answer):
    """Events with ids above `after` follow."""

    type: Literal["subscribed"] = "subscribed"
    message_id: str
    after: int


class Unsubscribed(_Answer):
    """No more events of this message follow."""

    type: Literal["unsubscribed"] = "unsubscribed"
    message_id: str


class Cancelled(_Answer):
    """The message has ended as cancelled."""

    type: Literal["cancelled"] = "cancelled"
    message_id: str
    state: MessageState


class Cancelling(_Answer):
    """The message is being stopped and will end as cancelled. Its event `cancelled` reports the end."""

    type: Literal["cancelling"] = "cancelling"
    message_id: str
    state: MessageState


class Resumed(_Answer):
    """The answer is stored, and the message is queued again at the head of its thread."""

    type: Literal["resumed"] = "resumed"
    message_id: str
    state: MessageState
    thread_id: str | None
    replayed: bool = Field(description="An earlier request with the same key gave the answer.")
    traceparent: ReplyTraceParent


class Pong(_Answer):
    """The connection works in both directions."""

    type: Literal["pong"] = "pong"


class Event(BaseModel):
    """An event of a message, as in its stream of server-sent events. `id` is null if the log does not store it."""

    model_config = _OURS

    type: Literal["event"] = "event"
    message_id: str
    id: int | None
    event: str
    data: dict[str, Any]


class Ended(BaseModel):
    """All events of this message were sent. The subscription has ended."""

    model_config = _OURS

    type: Literal["ended"] = "ended"
    message_id: str


class Error(_Answer):
    """A frame was not carried out. With a `message_id`: the subscription to this message ended early."""

    type: Literal["error"] = "error"
    message_id: str | None
    problem: Problem


Request: TypeAlias = Submit | Subscribe | Unsubscribe | Cancel | Resume | Ping
Answer: TypeAlias = Accepted | Subscribed | Unsubscribed | Cancelled | Cancelling | Resumed | Pong | Ended
ClientFrame = Annotated[Request, Field(discriminator="type")]
ServerFrame = Annotated[Answer | Event | Error, Field(discriminator="type")]

MODELS: dict[str, type[BaseModel]] = {
    "submit": Submit,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "cancel": Cancel,
    "resume": Resume,
    "ping": Ping,
}
KINDS = tuple(MODELS)
_clients = TypeAdapter[Request](ClientFrame)
_request_id = TypeAdapter[str | None](RequestId | None)


def parse(text: str) -> Request:
    """Return the frame of a client. Raises ValidationError, and InvalidRequest if it has too many values."""
    if len(text) > MAX_JSON_VALUES:
        check_json_values(text.encode())
    return _clients.validate_json(text)


def request_id_of(text: str) -> str | None:
    """Return the id of a frame that could not be parsed, None if it has no valid id."""
    try:
        return _request_id.validate_python(from_json(text)["request_id"])
    except (ValueError, TypeError, LookupError):
        return None


def malformed(error: ValidationError) -> Response:
    """Return the errors of `parse` as the problem that HTTP would return. Field names leave out the frame's type."""
    found: list[dict[str, Any]] = []
    model = None
    for each in error.errors(include_url=False, include_input=False):
        if each["type"].startswith("union_tag"):
            found.append({"loc": ("type",), "msg": f"expected one of {', '.join(KINDS)}"})
        elif each["loc"][:1] and each["loc"][0] in MODELS:
            model = MODELS[str(each["loc"][0])]
            found.append({**each, "loc": each["loc"][1:]})
        else:
            found.append(dict(each))
    return invalid(found, model)


def event_text(message_id: str, number: int | None, event: str, data: str) -> str:
    """Return an `Event` as JSON. `data` is already JSON, so that no event is encoded for each reader."""
    shown = "null" if number is None else number
    return f'{{"type":"event","message_id":{json.dumps(message_id)},"id":{shown},"event":"{event}","data":{data}}}'


def error_text(problem: Response, *, request_id: str | None = None, message_id: str | None = None) -> str:
    """Return an `Error` as JSON, with the body of a problem."""
    ids = f'"request_id":{json.dumps(request_id)},"message_id":{json.dumps(message_id)}'
    return f'{{"type":"error",{ids},"problem":{bytes(problem.body).decode().rstrip()}}}'


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the frames. Its definitions include `ClientFrame` and `ServerFrame`."""
    adapters: Sequence[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = (
        ("ClientFrame", "validation", TypeAdapter(ClientFrame)),
        ("ServerFrame", "serialization", TypeAdapter(ServerFrame)),
    )
    unions, shared = TypeAdapter.json_schemas(adapters)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Frames of the WebSocket /ws",
        "$defs": dict(sorted({**shared["$defs"], **{name: schema for (name, _), schema in unions.items()}}.items())),
    }
