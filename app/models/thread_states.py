"""The state of a conversation at one of its checkpoints, in a form that JSON can hold."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .types import Moment


class Checkpoint(BaseModel):
    """The name of a checkpoint. `checkpoint_ns` is empty except for the checkpoints of subgraphs."""

    model_config = ConfigDict(frozen=True)

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str


class StateInterrupt(BaseModel):
    """A question that a node has asked."""

    id: str
    value: Any = Field(description="Any JSON.")


class StateTask(BaseModel):
    """A node that runs next, with what it already has: an error, questions or a result."""

    id: str
    name: str = Field(description="The node.")
    error: str | None = Field(description="Why the step failed, if it did.")
    interrupts: list[StateInterrupt]
    result: Any = Field(description="What the node has returned already, any JSON; null if it has not.")
    state: "ThreadState | None" = Field(
        description="The state of the subgraph that the node runs. Null unless asked for."
    )


class ThreadState(BaseModel):
    """The state of a conversation. Without any step yet, `values` is an empty object and `checkpoint` null."""

    values: Any = Field(description="The values by key, as JSON.")
    next: list[str] = Field(description="The nodes that come next; empty after the end of a run.")
    tasks: list[StateTask]
    interrupts: list[StateInterrupt] = Field(description="The questions that wait for an answer.")
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None = Field(description="The checkpoint before this one.")
    metadata: dict[str, Any] = Field(description="LangGraph's metadata, with the metadata of the message.")
    message_id: str | None = Field(description="The message whose run made this state.")
    created_at: Moment | None


class StateText(NamedTuple):
    """A ThreadState as JSON, and the id of its checkpoint."""

    checkpoint_id: str
    text: str


class StateChange(NamedTuple):
    """A change of a state, as if the node `as_node` had returned `values`. None means the node that ran last.

    The state at `checkpoint_id` is changed, by default the newest one. Either way the result is the newest state.
    """

    values: Any
    as_node: str | None = None
    checkpoint_id: str | None = None
