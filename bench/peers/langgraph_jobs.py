"""LangGraph's own development server: a run without a thread of a graph with one empty node, awaited over HTTP."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """The smallest state that a graph can have."""

    text: str


async def nothing(state: State) -> State:
    """The no-op job."""
    return state


builder = StateGraph(State)
builder.add_node("nothing", nothing)
builder.add_edge(START, "nothing")
builder.add_edge("nothing", END)
graph = builder.compile()


def prepare() -> None:
    """Write the server's configuration to this folder."""
    Path("langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": {"noop": f"{__file__}:graph"}}))


async def call_for_rounds() -> None:
    """Answer rounds; see `bench.peers.callers`."""
    from langgraph_sdk import get_client  # only the caller needs it

    from bench.peers.callers import serve

    client = get_client(url=f"http://127.0.0.1:{os.environ['QUEUE_PORT']}")
    await serve(lambda: client.runs.wait(None, "noop", input={"text": ""}))


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare()
    else:
        asyncio.run(call_for_rounds())
