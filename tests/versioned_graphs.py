"""A graph that tells which version of it ran each step, by `AGENTS=versioned=tests.versioned_graphs:versioned`.

It is steered through `tests.graph_control.GraphControl`.
"""

import asyncio
import operator
import os
from typing import Annotated

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.graph_control import GraphControl

POLL_SECONDS = 0.01
HOLD_DEADLINE_SECONDS = 60.0


class Steps(MessagesState):
    """A conversation, and the version that ran each step of its turns."""

    ran: Annotated[list[str], operator.add]


def _version() -> str:
    return os.environ.get("AGENT_VERSION", "none")


async def _begin(state: Steps) -> dict[str, list[str]]:
    """Note where the turn begins, in place of what earlier turns have noted."""
    return {"ran": ["|", _version()]}


async def _work(state: Steps) -> dict[str, list[str]]:
    """Wait while the test holds it. Then fail once, ask, or go on, as the message and the test say."""
    control, text = GraphControl.of_environment(), state["messages"][-1].text
    async with asyncio.timeout(HOLD_DEADLINE_SECONDS):
        while control.held("work"):
            control.wait_begins(f"work of {text}")
            await asyncio.sleep(POLL_SECONDS)
    if control.crash_is_due(text):
        raise RuntimeError("It fails once.")
    if text.startswith("ask"):
        interrupt("Go on?")
    return {"ran": [_version()]}


async def _end(state: Steps) -> dict[str, list[AIMessage] | list[str]]:
    turn = " ".join([*state["ran"], _version()]).rpartition("| ")[2]
    return {"messages": [AIMessage(turn)], "ran": [_version()]}


versioned = (
    StateGraph(Steps)
    .add_node("begin", _begin)
    .add_node("work", _work)
    .add_node("end", _end)
    .add_edge(START, "begin")
    .add_edge("begin", "work")
    .add_edge("work", "end")
    .add_edge("end", END)
    .compile()
)
