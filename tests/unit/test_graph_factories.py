"""Functions that make graphs: when they are called, with what, and when what they have opened is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from langgraph_sdk.runtime import ServerRuntime

from app.agents.base import Agent, AgentDrained, AgentInterrupted, AgentTask, Drain, FinalResult
from app.agents.graphs import agent_of
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.errors import AgentUnavailable
from app.models.attempts import Lease
from tests.agent_loops import SharedLoop
from tests.servers import until

Saver = BaseCheckpointSaver[str]
Builder = StateGraph[Any, Any, Any, Any]


@pytest.fixture
async def saver() -> AsyncIterator[Saver]:
    """An open, empty memory; the engine makes no difference here."""
    async with open_saver("memory://", "this queue") as opened:
        yield opened


def graph_of(node: Callable[..., Any]) -> Builder:
    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph


def saying(text: object) -> Builder:
    def answer(_: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(text))]}

    return graph_of(answer)


def task_of(number: int = 1, fence: int = 1, drain: Drain | None = None, **given: Any) -> AgentTask:
    return AgentTask(
        lease=Lease(f"message {number}", fence, 1, "worker"),
        content="Hello",
        memory_key=f"default/thread/{number}",
        memory_fence=(number, fence),
        drain=drain or Drain(),
        **given,
    )


async def answer_of(agent: Agent, task: AgentTask | None = None) -> str:
    """The whole answer of a run that is closed as soon as it has given that, as the worker does."""
    async with aclosing(agent.run(task or task_of())) as pieces:
        async for piece in pieces:
            if isinstance(piece, FinalResult):
                return piece.text
    raise AssertionError("there was no answer")


class Opened:
    """Context managers around a graph, which note what becomes of them."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.notes: list[str] = []

    @asynccontextmanager
    async def without_care(self, config: RunnableConfig) -> AsyncIterator[Any]:
        """The code behind the `yield` runs at a normal end only."""
        self.notes.append("open")
        yield self.graph
        self.notes.append("closed")

    @asynccontextmanager
    async def with_care(self, config: RunnableConfig) -> AsyncIterator[Any]:
        self.notes.append("open")
        try:
            yield self.graph
        except BaseException as error:
            self.notes.append(type(error).__name__)
            raise
        finally:
            await asyncio.sleep(0)
            self.notes.append("closed")

    @asynccontextmanager
    async def swallowing(self) -> AsyncIterator[Any]:
        try:
            yield self.graph
        except Exception as error:  # noqa: BLE001  as users do
            self.notes.append(type(error).__name__)

    @contextmanager
    def plain(self) -> Iterator[Any]:
        self.notes.append("open")
        yield self.graph
        self.notes.append("closed")


# Arguments


def takes_nothing() -> Any:
    return saying("nothing")


def takes_anything(anything: Any) -> Any:
    return saying(anything["configurable"]["run_id"])


async def takes_config(config: RunnableConfig) -> Any:
    return saying([config["configurable"][name] for name in ("thread_id", "run_id")])


async def takes_config_by_name(config: Any, /, size: int = 3) -> Any:
    return saying([config["configurable"]["run_id"], size])


def takes_runtime(serving: ServerRuntime[Any]) -> Any:
    assert serving.execution_runtime is not None
    return saying([serving.access_context, serving.user, serving.execution_runtime.context])


def takes_both(runtime: ServerRuntime, *more: int, config: RunnableConfig | None = None, **others: int) -> Any:  # type: ignore[type-arg]  # as users write it
    assert config is not None
    return saying([runtime.access_context, config["configurable"]["run_id"], more, others])


class Maker:
    def __call__(self, config: RunnableConfig) -> Any:
        return saying("an object")

    def method(self, config: RunnableConfig) -> Any:
        return saying("a method")


ARGUMENTS: dict[str, tuple[Any, str]] = {
    "nothing": (takes_nothing, "nothing"),
    "anything": (takes_anything, "message 1"),
    "config": (takes_config, "['default/thread/1', 'message 1']"),
    "config by name": (takes_config_by_name, "['message 1', 3]"),
    "runtime": (takes_runtime, "['threads.create_run', None, None]"),
    "both": (takes_both, "['threads.create_run', 'message 1', (), {}]"),
    "partial": (partial(takes_config_by_name, size=4), "['message 1', 4]"),
    "object": (Maker(), "an object"),
    "method": (Maker().method, "a method"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
async def test_a_factory_is_given_what_it_takes(saver: Saver, case: str) -> None:
    factory, answer = ARGUMENTS[case]
    assert await answer_of(await agent_of(factory, "mine:make", saver)) == answer


def takes_too_much(config: RunnableConfig, size: int) -> Any: ...


async def test_a_parameter_that_is_not_known_is_told_when_the_agent_is_loaded(saver: Saver) -> None:
    with pytest.raises(AgentUnavailable, match="mine:make takes a parameter 'size'"):
        await agent_of(takes_too_much, "mine:make", saver)


# When it is called


@pytest.mark.parametrize("takes", ["nothing", "the config"])
async def test_each_run_has_a_graph_of_its_own(saver: Saver, takes: str) -> None:
    calls: list[str] = []

    def nothing() -> Any:
        calls.append("called")
        return saying(len(calls))

    def the_config(config: RunnableConfig) -> Any:
        return nothing()

    agent = await agent_of({"nothing": nothing, "the config": the_config}[takes], "mine:make", saver)
    assert [await answer_of(agent, task_of(number)) for number in (1, 2, 3)] == ["1", "2", "3"]
    assert len(calls) == 3


async def test_what_a_function_without_parameters_raises_is_known_at_once(saver: Saver) -> None:
    def raises() -> Any:
        raise RuntimeError("no such table")

    with pytest.raises(RuntimeError, match="no such table"):
        await agent_of(raises, "mine:make", saver)
    with pytest.raises(AgentUnavailable, match="mine:make is or makes a value of the type `int`"):
        await agent_of(lambda: 1, "mine:make", saver)
    with pytest.raises(AgentUnavailable, match="mine:make is or makes a value of the type `int`"):
        await agent_of(1, "mine:make", saver)


async def test_a_function_that_yields_without_its_decorator_is_told_so(saver: Saver) -> None:
    def make() -> Iterator[Any]:
        yield saying("x")

    with pytest.raises(AgentUnavailable, match=r"contextlib\.contextmanager"):
        await agent_of(make, "mine:make", saver)


async def test_graphs_are_no_factories(saver: Saver) -> None:
    for graph in (saying("x"), saying("x").compile()):
        agent = await agent_of(graph, "mine:graph", saver)
        assert isinstance(agent, LangGraphAgent)
        assert await answer_of(agent, task_of(id(graph))) == "x"


# Allowed types


async def test_a_context_is_open_for_the_run_and_then_left_in_order(saver: Saver) -> None:
    opened = Opened(saying("x"))
    for factory in (opened.without_care, opened.with_care, opened.plain):
        agent = await agent_of(factory, "mine:make", saver)
        assert opened.notes == [], "nothing is opened when it is loaded"
        for number in (1, 2):
            assert await answer_of(agent, task_of(number)) == "x"
        assert opened.notes == ["open", "closed"] * 2
        opened.notes.clear()


async def test_a_context_is_closed_when_its_graph_fails(saver: Saver) -> None:
    def fails(_: MessagesState) -> Any:
        raise ValueError("broken")

    opened = Opened(graph_of(fails))
    with pytest.raises(ValueError, match="broken"):
        await answer_of(await agent_of(opened.with_care, "mine:make", saver))
    assert opened.notes == ["open", "ValueError", "closed"]


async def test_a_context_that_swallows_an_error_hides_it_from_nobody(saver: Saver) -> None:
    def fails(_: MessagesState) -> Any:
        raise ValueError("broken")

    opened = Opened(graph_of(fails))
    with pytest.raises(ValueError, match="broken"):
        await answer_of(await agent_of(opened.swallowing, "mine:make", saver))
    assert opened.notes == ["ValueError"]


async def test_a_question_and_a_drain_are_normal_ends(saver: Saver) -> None:
    def asks(_: MessagesState) -> Any:
        return {"messages": [AIMessage(str(interrupt("Sure?")))]}

    opened = Opened(graph_of(asks))
    agent = await agent_of(opened.without_care, "mine:make", saver)
    with pytest.raises(AgentInterrupted) as asked:
        await answer_of(agent, task_of(1))
    drain = Drain()
    drain.request()
    with pytest.raises(AgentDrained):
        await answer_of(agent, task_of(2, drain=drain))
    assert opened.notes == ["open", "closed"] * 2
    (question,) = json.loads(asked.value.interrupts)
    assert await answer_of(agent, task_of(1, fence=2, resume={question["id"]: "yes"})) == "yes"


async def test_a_context_is_closed_when_its_run_is_stopped(saver: Saver) -> None:
    begun = asyncio.Event()

    async def waits(_: MessagesState) -> Any:
        begun.set()
        await asyncio.Event().wait()

    opened = Opened(graph_of(waits))
    loop = SharedLoop()
    run = loop.start(await agent_of(opened.with_care, "mine:make", saver), "mine", task_of())
    await begun.wait()
    await loop.end(run, stop_seconds=1)
    await until(lambda: run.is_over, "the run is over")
    assert opened.notes == ["open", "CancelledError", "closed"]
    assert loop.abandoned == 0


async def test_a_reader_that_goes_closes_the_context_too(saver: Saver) -> None:
    opened = Opened(saying("x"))
    agent = await agent_of(opened.with_care, "mine:make", saver)
    async with aclosing(agent.run(task_of())) as pieces:
        await anext(pieces)
        assert opened.notes == ["open"]
    assert opened.notes == ["open", "GeneratorExit", "closed"]


async def test_a_factory_is_described_by_the_graph_that_it_made_at_the_start(saver: Saver) -> None:
    known = (await agent_of(takes_nothing, "mine:make", saver, "What it does.")).describe("mine")
    assert (known.name, known.description, list(known.input_schema["properties"])) == (
        "mine",
        "What it does.",
        ["messages"],
    )
    unknown = (await agent_of(takes_config, "mine:make", saver)).describe("mine")
    assert (unknown.input_schema, unknown.context_schema) == ({"type": "object"}, {"type": "object"})
