"""The parts of a message that change where its graph goes on or stops."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...models.inputs import ALL_NODES, GraphCommand, NodeInput
from ...models.types import JsonObject, Text

MAX_NODES = 100

NodeName = Annotated[Text, Field(min_length=1, max_length=255)]
StopNodes = Literal["*"] | Annotated[list[NodeName], Field(min_length=1, max_length=MAX_NODES)]


class NodeToRun(BaseModel):
    """A node that runs next, with an input of its own in place of the state."""

    model_config = ConfigDict(extra="forbid")

    node: NodeName
    input: Any = Field(None, description="Any JSON.")


class MessageCommand(BaseModel):
    """A change of the graph's state, and nodes that run next. Give at least one of them."""

    model_config = ConfigDict(extra="forbid")

    update: JsonObject | None = Field(None, description="Values by key of the state. The state's reducers apply them.")
    goto: NodeName | NodeToRun | Annotated[list[NodeName | NodeToRun], Field(max_length=MAX_NODES)] | None = Field(
        None, description="Nodes that run next, beside those that come next anyway."
    )

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.update is None and not self.goto:
            raise ValueError("give an update or a node to go to")
        return self

    def graph_command(self) -> GraphCommand:
        """Return the command as the worker gets it."""
        goto = self.goto if isinstance(self.goto, list) else [] if self.goto is None else [self.goto]
        nodes = (each if isinstance(each, str) else NodeInput(node=each.node, input=each.input) for each in goto)
        return GraphCommand(update=self.update, goto=tuple(nodes))


def stop_nodes(given: Literal["*"] | list[str] | None) -> tuple[str, ...]:
    """Return nodes to stop at as the worker gets them."""
    return ALL_NODES if given == "*" else tuple(dict.fromkeys(given or ()))
