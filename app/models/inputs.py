"""What a message gives to its agent besides a text, and what the agent's run shows."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class ShownEvent(StrEnum):
    """Types of events that a message asks for. Without being asked, a run shows none of them.

    `custom` is what the agent's code writes, `node` the start and end of each node, `values` the whole state after each
    step, `updates` what each node wrote to the state.
    """

    CUSTOM = "custom"
    NODE = "node"
    VALUES = "values"
    UPDATES = "updates"


class RunConfig(BaseModel):
    """The part of LangGraph's config that a message may set. None means the graph's default."""

    model_config = ConfigDict(frozen=True)

    recursion_limit: int | None = None
    tags: tuple[str, ...] = ()
    configurable: dict[str, Any] = {}


class RunInput(BaseModel):
    """What a run gets. At most one of `blocks` and `input` is given; without either, the text of the message counts.

    `blocks` are content blocks in LangChain's standard form, `input` is the graph's input. `message_id` is the client's
    id for the human message, by which the agent's memory and the events name it instead of the message's own id.
    """

    model_config = ConfigDict(frozen=True)

    blocks: tuple[dict[str, Any], ...] | None = None
    input: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    config: RunConfig = RunConfig()
    events: tuple[ShownEvent, ...] = ()
    message_id: str | None = None


NO_RUN_INPUT = RunInput()
"""The input of a message that gives only a text."""
