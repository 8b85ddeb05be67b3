"""The events of a message in the API's description: a union with the discriminator `type`.

The server sends stored events unchanged and creates none of these objects. The models serve the description, and the
clients that are generated from it. `tests/integration/test_generated_clients.py` compares real events with them.
"""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, Field, RootModel

from ...models.messages import MessageState
from ...models.types import Moment
from ...policy.wait_estimate import WaitingReason
from .examples import ENDED, MESSAGE_ID, STARTED, example
from .messages import EVENT_ATTEMPT, NotBefore, Position, Question

PATH = "The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph."

OMITTED = "The length of an event of more than 1 MiB, whose content is left out."

DISCARD_FROM = "Drop the earlier events from this id on."

# Data of the events


class WaitingData(BaseModel):
    """The message is queued. Sent first, and again when its position or its reason to wait changes."""

    model_config = example(
        state="queued",
        position=2,
        message="Waiting in queue",
        estimated_start_at=STARTED,
        waiting_reason={"code": "ahead_in_queue", "message": "2 messages are ahead of it."},
        run_at=None,
    )

    state: Literal["queued"]
    position: Position
    message: str
    estimated_start_at: Moment | None
    waiting_reason: WaitingReason | None
    run_at: NotBefore


class ResetData(BaseModel):
    """The events after the reader's offset are deleted. The events that are left follow.

    `text` is the answer, empty unless the message has completed.
    """

    state: MessageState
    text: str


class ProcessingData(BaseModel):
    """A worker has begun an attempt."""

    state: Literal["processing"]
    attempt: int = Field(description=EVENT_ATTEMPT)


class _Piece(BaseModel):
    index: int
    message: str | None = Field(None, description="The id of its message in the agent's memory, if known.")
    node: str | None = Field(None, description="The graph's node that made it, if known.")
    path: list[str] | None = Field(None, description=PATH)


class TextChunk(_Piece):
    """Text of the answer (`content`), or text of the model's reasoning if the model provides it."""

    type: Literal["content", "reasoning"]
    chunk: str


class ToolCall(BaseModel):
    """A call of a tool by the agent."""

    id: str | None
    name: str
    args: dict[str, Any]


class ToolCallChunk(_Piece):
    """The agent calls a tool."""

    type: Literal["tool_call"]
    chunk: ToolCall


class ToolResult(BaseModel):
    """The result of a tool; `status` is `success` or `error`."""

    id: str | None
    name: str | None
    content: str
    status: str


class ToolResultChunk(_Piece):
    """A tool has ended."""

    type: Literal["tool_result"]
    chunk: ToolResult


class DiscardChunk(_Piece):
    """Takes back text that is not the answer. `kept`: the model's message stays in the conversation."""

    type: Literal["discard"]
    chunk: str
    kept: bool
    discard_from: int = Field(description="The id of the first event of the text.")


_Pieces: TypeAlias = TextChunk | ToolCallChunk | ToolResultChunk | DiscardChunk


class ChunkData(RootModel[Annotated[_Pieces, Field(discriminator="type")]]):
    """A part of the answer. `index` counts from 0 within an attempt."""


class _Shown(BaseModel):
    path: list[str] | None = Field(None, description=PATH)
    omitted: int | None = Field(None, description=OMITTED)


class CustomData(_Shown):
    """A value that the agent's code has written with `get_stream_writer`."""

    data: Any


class NodeData(_Shown):
    """A node has started or ended. `task` is the same in both events, and differs between runs of the same node."""

    state: Literal["start", "end"]
    node: str
    task: str


class ValuesData(_Shown):
    """The graph's state before the first step and after every step."""

    values: Any


class UpdatesData(_Shown):
    """The values that nodes wrote to the state, by the names of the nodes."""

    updates: dict[str, Any] | None


class UsageData(BaseModel):
    """The tokens of an attempt by model, as the providers report them: `input_tokens`, `output_tokens`, details.

    The tokens of an attempt without a result count too, although its other events are discarded.
    """

    models: dict[str, dict[str, Any]]


class RetryData(BaseModel):
    """The attempt ended without a result, and the message is queued again."""

    state: Literal["queued"]
    attempt: int = Field(description=EVENT_ATTEMPT)
    error: str
    next_at: Moment
    discard_from: int = Field(description=DISCARD_FROM)


class InterruptedData(BaseModel):
    """The agent asks a human. The stream stays open for the events after the answer."""

    state: Literal["interrupted"]
    attempt: int = Field(description=EVENT_ATTEMPT)
    interrupts: list[Question]
    expires_at: Moment


class ResumedData(BaseModel):
    """The human answered, and the message is queued again. The step that asked runs again."""

    state: Literal["queued"]
    discard_from: int = Field(description=DISCARD_FROM)


class DoneData(BaseModel):
    """The message is completed."""

    model_config = example(
        state="completed", result='{"capital": "Paris"}', completed_at=ENDED, output={"capital": "Paris"}
    )

    state: Literal["completed"]
    result: str
    completed_at: Moment
    output: Any = Field(None, description="The result of a run without text, such as a structured response.")


class ErrorData(BaseModel):
    """The message has failed. `code` is stable, `error` is for people."""

    state: Literal["failed"]
    error: str
    code: str
    completed_at: Moment


class CancelledData(BaseModel):
    """The message was cancelled."""

    state: Literal["cancelled"]
    completed_at: Moment


# The events


class _Stored(BaseModel):
    id: int = Field(description="Counts from 1 within the message, without gaps.")


class _Live(BaseModel):
    id: None = Field(description="The log does not store this event.")


class WaitingEvent(_Live):
    """Sent while the message is queued."""

    type: Literal["waiting"]
    data: WaitingData


class ResetEvent(_Live):
    """Sent instead of events that the log no longer has."""

    type: Literal["reset"]
    data: ResetData


class ProcessingEvent(_Stored):
    """An attempt has begun."""

    type: Literal["processing"]
    data: ProcessingData


class ChunkEvent(_Stored):
    """A part of the answer."""

    type: Literal["chunk"]
    data: ChunkData


class CustomEvent(_Stored):
    """The agent's code wrote something."""

    type: Literal["custom"]
    data: CustomData


class NodeEvent(_Stored):
    """A node has started or ended."""

    type: Literal["node"]
    data: NodeData


class ValuesEvent(_Stored):
    """The state of the graph."""

    type: Literal["values"]
    data: ValuesData


class UpdatesEvent(_Stored):
    """Nodes wrote to the state."""

    type: Literal["updates"]
    data: UpdatesData


class UsageEvent(_Stored):
    """The tokens of an attempt, at its end."""

    type: Literal["usage"]
    data: UsageData


class RetryEvent(_Stored):
    """An attempt ended without a result."""

    type: Literal["retry"]
    data: RetryData


class InterruptedEvent(_Stored):
    """The agent asks a human."""

    type: Literal["interrupted"]
    data: InterruptedData


class ResumedEvent(_Stored):
    """The human answered."""

    type: Literal["resumed"]
    data: ResumedData


class DoneEvent(_Stored):
    """The message is completed."""

    type: Literal["done"]
    data: DoneData


class ErrorEvent(_Stored):
    """The message has failed."""

    type: Literal["error"]
    data: ErrorData


class CancelledEvent(_Stored):
    """The message was cancelled."""

    type: Literal["cancelled"]
    data: CancelledData


_StoredKinds: TypeAlias = (
    ProcessingEvent
    | ChunkEvent
    | CustomEvent
    | NodeEvent
    | ValuesEvent
    | UpdatesEvent
    | UsageEvent
    | RetryEvent
    | InterruptedEvent
    | ResumedEvent
    | DoneEvent
    | ErrorEvent
    | CancelledEvent
)
_Kinds: TypeAlias = WaitingEvent | ResetEvent | _StoredKinds


class StoredEvent(RootModel[Annotated[_StoredKinds, Field(discriminator="type")]]):
    """An event of a message's log. `data` is what the stream sends."""


class StreamEvent(RootModel[Annotated[_Kinds, Field(discriminator="type")]]):
    """An event of a stream, with its data parsed. `type` has the value that the stream calls `event`."""


class EventList(BaseModel):
    """Events with ids above `after`, oldest first. `last_event_id` is the newest id in the log."""

    model_config = example(
        message_id=MESSAGE_ID,
        state="processing",
        events=[{"id": 1, "type": "processing", "data": {"state": "processing", "attempt": 1}}],
        last_event_id=1,
    )

    message_id: str
    state: MessageState
    events: list[StoredEvent]
    last_event_id: int


def stream_items() -> dict[str, Any]:
    """Return the schema of a server-sent event, whose data is JSON as text."""
    return {"oneOf": [_item(kind) for kind in get_args(_Kinds)]}


def _item(kind: type[BaseModel]) -> dict[str, Any]:
    (name,) = get_args(kind.model_fields["type"].annotation)
    data = kind.model_fields["data"].annotation
    assert data is not None
    content = {"$ref": f"#/components/schemas/{data.__name__}"}
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"const": name},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
        },
        "required": ["event", "data"] if issubclass(kind, _Live) else ["id", "event", "data"],
    }
