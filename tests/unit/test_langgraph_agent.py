"""What an attempt shows that goes on behind an earlier one, and what a thread keeps of a turn that failed."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph

from app.agents.base import AgentDrained, AgentTask, Drain
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.models import Lease
from tests.servers import until

Saver = BaseCheckpointSaver[str]
CALL = {"id": "call 1", "name": "add", "args": {"a": 1}}
Node = Callable[[MessagesState], Any]


def chain(**nodes: Any) -> Any:
    """A graph of these nodes, one after the other."""
    graph = StateGraph(MessagesState)
    for name, node in nodes.items():
        graph.add_node(name, node)
    names = list(nodes)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph.compile()


class Interrupting:
    """Nodes that say their name; the one that is named asks for the drain while it runs."""

    def __init__(self, at: str | None) -> None:
        self.at = at
        self.drain = Drain()

    def node(self, name: str, **fields: Any) -> Node:
        """A node that answers with its name."""

        async def run(_: MessagesState) -> dict[str, Any]:
            if self.at == name:
                self.drain.request()
            return {"messages": [AIMessage(f"[{name}]", **fields)]}

        return run

    def graph(self) -> Any:
        """before → (call → tool → answer) → after, the middle being a subgraph."""

        async def tool(_: MessagesState) -> dict[str, Any]:
            return {"messages": [ToolMessage("42", tool_call_id=CALL["id"], name="add")]}

        inner = chain(call=self.node("call", tool_calls=[CALL]), tool=tool, answer=self.node("answer"))
        return chain(before=self.node("before"), inner=inner, after=self.node("after"))


async def run(agent: LangGraphAgent, number: int, fence: int, drain: Drain | None = None) -> list[Any]:
    """All that one attempt at message `number` of the thread shows; `drained` last when it was."""
    task = AgentTask(
        lease=Lease(f"message {number}", fence, 1, "worker"),
        content=f"question {number}",
        memory_key="default/thread/t",
        memory_fence=(number, fence),
        drain=drain or Drain(),
    )
    shown: list[Any] = []
    try:
        async with aclosing(agent.run(task)) as parts:
            async for part in parts:
                shown.append(part)  # noqa: PERF401  what came before a drain counts
    except AgentDrained:
        shown.append("drained")
    return shown


@pytest.mark.parametrize("at", ["before", "call", "answer"])
async def test_a_later_attempt_shows_the_finished_steps_again_as_they_were(saver: Saver, at: str) -> None:
    async with open_saver("memory://", "another queue") as other:
        undisturbed = await run(LangGraphAgent(Interrupting(None).graph(), other), 1, 1)
    nodes = Interrupting(at)
    agent = LangGraphAgent(nodes.graph(), saver)
    assert (await run(agent, 1, 1, nodes.drain))[-1] == "drained"
    nodes.at = None
    assert await run(agent, 1, 3) == undisturbed


async def test_a_step_that_was_cut_off_is_done_again_and_none_before_it(saver: Saver) -> None:
    """The human turn is there once."""
    runs: list[str] = []

    async def first(_: MessagesState) -> dict[str, Any]:
        runs.append("first")
        return {"messages": [AIMessage("[first]")]}

    async def second(state: MessagesState) -> dict[str, Any]:
        runs.append("second")
        if len(runs) == 2:
            await asyncio.Event().wait()
        return {"messages": [AIMessage(" | ".join(message.text for message in state["messages"]))]}

    agent = LangGraphAgent(chain(first=first, second=second), saver)
    cut_off = asyncio.create_task(run(agent, 1, 1))
    await until(lambda: len(runs) == 2, "the second step runs")
    cut_off.cancel()
    await asyncio.gather(cut_off, return_exceptions=True)
    shown = await run(agent, 1, 3)
    assert runs == ["first", "second", "second"]
    assert shown[-1].text == "question 1 | [first]"


async def test_an_attempt_that_ended_before_its_first_step_leaves_nothing_to_show(saver: Saver) -> None:
    """Its checkpoint has only the input; the answers before it are not this message's."""
    agent = LangGraphAgent(chain(only=Interrupting(None).node("only")), saver)
    first = await run(agent, 1, 1)
    requested = Drain()
    requested.request()
    assert await run(agent, 2, 1, requested) == ["drained"]
    assert await run(agent, 2, 3) == first


async def test_a_tool_call_that_was_never_answered_does_not_poison_its_thread(saver: Saver) -> None:
    """Providers refuse a conversation in which a call is followed by a human turn."""
    heard: list[list[Any]] = []

    async def call(state: MessagesState) -> dict[str, Any]:
        heard.append(list(state["messages"]))
        return {"messages": [AIMessage("", tool_calls=[CALL])] if len(heard) == 1 else [AIMessage("Fine.")]}

    async def tool(_: MessagesState) -> dict[str, Any]:
        if len(heard) == 1:
            raise RuntimeError("the tool broke")
        return {}

    agent = LangGraphAgent(chain(call=call, tool=tool), saver)
    with pytest.raises(RuntimeError, match="the tool broke"):
        await run(agent, 1, 1)
    await run(agent, 2, 1)
    assert [type(message) for message in heard[1]] == [HumanMessage, AIMessage, ToolMessage, HumanMessage]
    assert heard[1][2].tool_call_id == CALL["id"]
