"""The input of a run besides its text, and the events that the run shows."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class ShownEvent(StrEnum):
    """Types of events that a run shows only if its message asks for them.

    `custom` is written by the agent's code. `node` is the start or end of a node. `values` is the whole state after a
    step. `updates` is the change of the state by a node. `messages` is each piece of each message as the model streams
    it, tool calls in pieces too. `tasks`, `checkpoints` and `debug` are what LangGraph's stream modes of these names
    give.
    """

    CUSTOM = "custom"
    NODE = "node"
    VALUES = "values"
    UPDATES = "updates"
    MESSAGES = "messages"
    TASKS = "tasks"
    CHECKPOINTS = "checkpoints"
    DEBUG = "debug"


STATE_EVENTS = frozenset({ShownEvent.VALUES, ShownEvent.TASKS, ShownEvent.CHECKPOINTS, ShownEvent.DEBUG})
"""The events that show the whole state of a thread, with what earlier messages have left there."""


class RunConfig(BaseModel):
    """The part of LangGraph's config that a message may set. None means the graph's default."""

    model_config = ConfigDict(frozen=True)

    recursion_limit: int | None = None
    tags: tuple[str, ...] = ()
    configurable: dict[str, Any] = {}


class NodeInput(BaseModel):
    """A node to go to, with an input of its own in place of the state: LangGraph's `Send`."""

    model_config = ConfigDict(frozen=True)

    node: str
    input: Any = None


class GraphCommand(BaseModel):
    """A change of the state, and the nodes that run next beside those that would: LangGraph's `Command`."""

    model_config = ConfigDict(frozen=True)

    update: dict[str, Any] | None = None
    goto: tuple[str | NodeInput, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of the nodes to go to."""
        return tuple(each if isinstance(each, str) else each.node for each in self.goto)


ALL_NODES = ("*",)
"""Stands for all nodes in `interrupt_before` and `interrupt_after`."""


class RunInput(BaseModel):
    """The input of a run: at most one of `blocks`, `input`, `command` and `continues`; without any, the message's text.

    `blocks` are content blocks in LangChain's standard form. `input` is the graph's input. With `continues`, the graph
    goes on where it stopped. `message_id` is the client's id for the human message. The agent's memory and the events
    use it instead of the message's own id.

    The run stops before the nodes in `interrupt_before` and after those in `interrupt_after`. It begins at
    `checkpoint_id` of its thread; None means the newest state.
    """

    model_config = ConfigDict(frozen=True)

    blocks: tuple[dict[str, Any], ...] | None = None
    input: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    config: RunConfig = RunConfig()
    events: tuple[ShownEvent, ...] = ()
    message_id: str | None = None
    continues: bool = False
    command: GraphCommand | None = None
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    checkpoint_id: str | None = None

    @property
    def goes_on(self) -> bool:
        """Return whether the run adds no turn of its own to the conversation."""
        return self.continues or self.command is not None


NO_RUN_INPUT = RunInput()
"""The input of a message that gives only a text."""
