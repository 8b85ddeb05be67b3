"""The data of a message's events in the API's description, see `events`."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

from ...models.messages import MessageState
from ...models.types import Moment
from ...policy.wait_estimate import WaitingReason
from .examples import ENDED, STARTED, example
from .messages import EVENT_ATTEMPT, NotBefore, Position, Question

PATH = "The nodes around it that hold subgraphs, outermost first. Left out at the top of the graph."

OMITTED = "The length of an event of more than 1 MiB, whose content is left out."

DISCARD_FROM = "Drop the earlier events from this id on."


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


class VersionData(BaseModel):
    """The message goes on with another version of its agent, since no live worker has the version that began it.

    `to` is null if a worker with any version may go on with it.
    """

    model_config = example(state="queued", **{"from": "v1", "to": "v2"})

    state: Literal["queued"]
    begun_with: str = Field(alias="from")
    to: str | None


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


class MessagePiece(BaseModel):
    """A piece of a message as LangChain has it. `metadata` comes with the first piece of each message."""

    piece: Any = Field(description="The message or chunk, with its `id`, `tool_call_chunks` and `usage_metadata`.")
    metadata: dict[str, Any] | None = Field(
        None, description="The node, the step and the checkpoint's namespace, among others."
    )


class MessagesData(_Shown):
    """A piece of a message, as the model streams it or a node writes it."""

    messages: MessagePiece | None


class TasksData(_Shown):
    """The start or the end of a task, as LangGraph gives it."""

    tasks: dict[str, Any] | None


class CheckpointsData(_Shown):
    """A checkpoint that was saved, as LangGraph gives it. Its configs have only the names of checkpoints."""

    checkpoints: dict[str, Any] | None


class DebugData(_Shown):
    """A checkpoint or a task with its step and time, as LangGraph gives it."""

    debug: dict[str, Any] | None


class ModelCallsData(BaseModel):
    """Calls of one model. Further fields are the sums of what its provider reports."""

    model_config = ConfigDict(extra="allow")

    calls: int
    cost: str | None = Field(description="US dollars as a decimal number. Null if no price is known.")
    cost_complete: bool = Field(description="Whether the prices of all these calls are known.")


class UsageData(BaseModel):
    """The model calls of a step by model: what their providers report, how many they are, and their cost.

    The providers report `input_tokens`, `output_tokens` and details. Calls of an attempt without a result count too,
    although its other events are discarded.
    """

    models: dict[str, ModelCallsData]


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
    answers: dict[str, Any] = Field(description="The answers by the ids of the questions.")


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
