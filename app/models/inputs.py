"""The input of a run besides its text, and the events that the run shows."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class ShownEvent(StrEnum):
    """Types of events that a run shows only if its message asks for them.

    `custom` is written by the agent's code. `node` is the start or end of a node. `values` is the whole state after a
    step. `updates` is the change of the state by a node.
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
    """The input of a run: at most one of `blocks` and `input`; without either, the message's text.

    `blocks` are content blocks in LangChain's standard form. `input` is the graph's input. `message_id` is the client's
    id for the human message. The agent's memory and the events use it instead of the message's own id.
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
