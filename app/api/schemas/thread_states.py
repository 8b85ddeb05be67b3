"""Bodies and replies about the states of threads."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ...models.thread_states import Checkpoint, StateChange, ThreadState
from ...models.types import Text
from ...text import storable_value

Name = Annotated[Text, Field(min_length=1, max_length=255)]


class ThreadHistory(BaseModel):
    """A page of a thread's states, newest first."""

    states: list[ThreadState]


class StateUpdate(BaseModel):
    """A change of a thread's state, as if a node had returned the values."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"values": {"messages": [{"role": "user", "content": "I mean Lyon."}]}}]},
    )

    values: Annotated[Any, AfterValidator(storable_value)] = Field(
        description="Values by keys of the state, which the state's reducers apply: messages are added. Null with "
        '`as_node` `"__end__"` ends what comes next.'
    )
    as_node: Name | None = Field(
        None, description="The node that the values come from. By default the node that ran last, if only one did."
    )
    checkpoint_id: Name | None = Field(
        None, description="The checkpoint to change. The result is the newest state, also of an earlier checkpoint."
    )
    agent: Name | None = Field(None, description="By default that of the newest message that has begun.")

    def change(self) -> StateChange:
        """Return the change for the thread manager."""
        return StateChange(self.values, self.as_node, self.checkpoint_id)


class StateUpdated(BaseModel):
    """The checkpoint with the changed state."""

    checkpoint: Checkpoint
