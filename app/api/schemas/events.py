"""The events of a message in the API's description: a union with the discriminator `type`.

The server sends stored events unchanged and creates none of these objects. The models serve the description, and the
clients that are generated from it. `tests/integration/test_generated_clients.py` compares real events with them.
"""

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, Field, RootModel

from ...models.messages import MessageState
from ...models.types import Moment
from .event_data import (
    CancelledData,
    CheckpointsData,
    ChunkData,
    CustomData,
    DebugData,
    DoneData,
    ErrorData,
    InterruptedData,
    MessagesData,
    NodeData,
    ProcessingData,
    ResetData,
    ResumedData,
    RetryData,
    TasksData,
    UpdatesData,
    UsageData,
    ValuesData,
    VersionData,
    WaitingData,
)
from .examples import MESSAGE_ID, STARTED, example


class _Stored(BaseModel):
    id: int = Field(description="Counts from 1 within the message, without gaps.")
    at: Moment | None = Field(
        default=None,
        description="When it was stored, by the store's clock. Lists have it, streams do not. Events that were stored "
        "together have the same.",
    )


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


class VersionEvent(_Stored):
    """Another version of the agent goes on with the message."""

    type: Literal["version"]
    data: VersionData


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


class MessagesEvent(_Stored):
    """A piece of a message."""

    type: Literal["messages"]
    data: MessagesData


class TasksEvent(_Stored):
    """A task has started or ended."""

    type: Literal["tasks"]
    data: TasksData


class CheckpointsEvent(_Stored):
    """A checkpoint was saved."""

    type: Literal["checkpoints"]
    data: CheckpointsData


class DebugEvent(_Stored):
    """A checkpoint or a task."""

    type: Literal["debug"]
    data: DebugData


class UsageEvent(_Stored):
    """The usage of a step's model calls."""

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
    | VersionEvent
    | ChunkEvent
    | CustomEvent
    | NodeEvent
    | ValuesEvent
    | UpdatesEvent
    | MessagesEvent
    | TasksEvent
    | CheckpointsEvent
    | DebugEvent
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
        events=[{"id": 1, "at": STARTED, "type": "processing", "data": {"state": "processing", "attempt": 1}}],
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
