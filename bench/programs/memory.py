"""Runs the turns of one thread with an agent whose model costs nothing, and prints milliseconds and bytes.

`python -m bench.programs.memory URL chat|tools TURNS` prints one line of JSON. With the URL `free`, the saver keeps
objects in a dictionary: what LangGraph itself costs. With `short` in place of the number of turns, it prints the turns
a second of many threads of two turns.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.graph import END, START, MessagesState, StateGraph

from app.agents.base import AgentTask, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.models.attempts import Lease
from app.models.inputs import NO_RUN_INPUT

TEXT = "An answer as people write it. " * 4 + "And more."
MESSAGES_A_TURN = {"chat": 2, "tools": 6}
SHORT_THREADS = 150
SAMPLE = 15


class FreeSaver(BaseCheckpointSaver[str]):
    """Keeps the newest checkpoint of each place as it is given. It has no history and checks no fence."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: dict[tuple[str, str], CheckpointTuple] = {}

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        found = self._newest.get((config["configurable"]["thread_id"], config["configurable"].get("checkpoint_ns", "")))
        return found and found._replace(
            checkpoint={**found.checkpoint}, pending_writes=list(found.pending_writes or ())
        )

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        place = {
            "thread_id": config["configurable"]["thread_id"],
            "checkpoint_ns": config["configurable"]["checkpoint_ns"],
        }
        saved: Any = {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}
        about = {**metadata, "run_id": config["configurable"].get("run_id")}
        self._newest[place["thread_id"], place["checkpoint_ns"]] = CheckpointTuple(saved, checkpoint, about, None, [])  # type: ignore[arg-type]  # metadata with the run's id
        return saved

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        """Keep nothing."""

    def drop_cached(self, memory_key: str) -> None:
        """Do nothing."""


async def chat(_: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(TEXT)]}


async def model(state: MessagesState) -> dict[str, Any]:
    last = state["messages"][-3:]
    called = sum(isinstance(message, ToolMessage) for message in last)
    if called == 2:
        return {"messages": [AIMessage(TEXT)]}
    call = {"id": f"call {len(state['messages'])}", "name": "look_up", "args": {"text": TEXT}}
    return {"messages": [AIMessage("", tool_calls=[call])]}


async def tools(state: MessagesState) -> dict[str, Any]:
    last: Any = state["messages"][-1]
    return {"messages": [ToolMessage(TEXT, tool_call_id=last.tool_calls[0]["id"])]}


def graph_of(kind: str) -> Any:
    """Return a chat of one step, or an agent that calls a tool twice: five steps."""
    graph: Any = StateGraph(MessagesState)
    if kind == "chat":
        graph.add_node("chat", chat)
        graph.add_edge(START, "chat")
        return graph.compile()
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    graph.add_edge("tools", "model")
    return graph.compile()


async def turn(agent: LangGraphAgent, thread: str, number: int) -> float:
    """Run one message of a thread. Return the milliseconds."""
    task = AgentTask(
        lease=Lease(f"{thread} {number}", 1, 1, "bench"),
        content=TEXT,
        memory_key=f"bench/thread/{thread}",
        memory_fence=(number, 1),
        drain=Drain(),
        given=NO_RUN_INPUT,
    )
    began = time.perf_counter()
    async with aclosing(agent.run(task)) as parts:
        async for part in parts:
            if isinstance(part, FinalResult):
                break
    return (time.perf_counter() - began) * 1000


@contextlib.asynccontextmanager
async def saver_of(url: str) -> AsyncIterator[Any]:
    if url == "free":
        yield FreeSaver()
        return
    async with open_saver(url, "bench") as saver:
        yield saver


async def measure(url: str, kind: str, turns: str) -> dict[str, float]:
    async with saver_of(url) as saver:
        agent = LangGraphAgent(graph_of(kind), saver)
        for number in range(1, 6):
            await turn(agent, f"{kind} warm", number)
        if turns == "short":
            began = time.perf_counter()
            for _ in range(SHORT_THREADS):
                thread = f"{time.time_ns()}"  # another one in each run on the same server
                for number in (1, 2):
                    await turn(agent, thread, number)
            return {"per_second": 2 * SHORT_THREADS / (time.perf_counter() - began)}
        for number in range(1, int(turns) - SAMPLE):
            await turn(agent, f"{kind} long", number)
        first, last = [], []
        for number in range(SAMPLE):  # by turns, so that both meet the same machine
            first.append(await turn(agent, f"{kind} new {number}", 1))
            last.append(await turn(agent, f"{kind} long", int(turns) + number))
        return {
            "first_ms": statistics.median(first),
            "last_ms": statistics.median(last),
            "text_bytes": len(TEXT) * MESSAGES_A_TURN[kind] * int(turns),
        }


def main() -> None:
    sys.stdout.write(json.dumps(asyncio.run(measure(*sys.argv[1:]))))


if __name__ == "__main__":
    main()
