"""Runs that go on where a graph stopped, begin with a command, or begin at an earlier state."""

from collections.abc import Callable
from typing import Annotated, Any, TypedDict, cast

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from app.agents.base import FinalResult
from app.agents.langgraph import LangGraphAgent
from app.errors import InvalidInput
from app.models.inputs import ALL_NODES, GraphCommand, NodeInput, RunInput, ShownEvent
from app.models.memory import AgentMemory
from tests.servers import until
from tests.unit.test_langgraph_agent import run

Saver = BaseCheckpointSaver[str]


class State(TypedDict, total=False):
    """A log that only grows, so that a command which is applied twice shows."""

    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], lambda old, new: old + new]
    given: str


class Graph:
    """first → second → third, and `aside`, which nothing leads to."""

    def __init__(self, saver: Saver, **compiled: Any) -> None:
        self.dies_in: str | None = None
        self.asks_in: str | None = None
        self.ran: list[str] = []
        builder = StateGraph(State)
        for name in ("first", "second", "third", "aside"):
            builder.add_node(name, cast(Any, self.node(name)))
        for source, target in ((START, "first"), ("first", "second"), ("second", "third"), ("third", END)):
            builder.add_edge(source, target)
        self.saver = saver
        self.agent = LangGraphAgent(builder.compile(**compiled), saver)

    def node(self, name: str) -> Callable[[State], Any]:
        """A node that notes its name."""

        async def step(state: State) -> dict[str, Any]:
            self.ran.append(name)
            if self.dies_in == name:
                raise ProcessDies
            note = f"{name}{state.get('given', '')}" if name == "aside" else name
            if self.asks_in == name:
                note += str(interrupt("?"))
            return {"log": [note], "messages": [AIMessage(f"[{note}]")]}

        return step

    async def state(self) -> Any:
        """The newest state."""
        return await self.agent._graph.aget_state(CONFIG)

    async def run(self, number: int, fence: int = 1, resume: dict[str, Any] | None = None, **given: Any) -> list[Any]:
        """Return what an attempt shows; only "died" if its process died."""
        self.ran.clear()
        try:
            return await run(self.agent, number, fence, resume=resume, given=RunInput(**given))
        except ProcessDies:
            return ["died"]

    async def log(self) -> list[str]:
        """The log of the newest state."""
        return list((await self.state()).values.get("log", []))


class ProcessDies(BaseException):
    """Ends a run without any of its own ends: what it has saved is all that is left."""


CONFIG: RunnableConfig = {"configurable": {"thread_id": "default/thread/t"}}


def result(shown: list[Any]) -> str:
    """The text of a run that has ended."""
    assert isinstance(shown[-1], FinalResult), shown
    return shown[-1].text


@pytest.mark.parametrize(
    ("stops", "next_nodes"),
    [
        ({"interrupt_before": ("second",)}, ("second",)),
        ({"interrupt_after": ("first",)}, ("second",)),
        ({"interrupt_before": ALL_NODES}, ("first",)),
        ({"interrupt_after": ALL_NODES}, ("second",)),
        ({"interrupt_before": ("third", "aside"), "interrupt_after": ("aside",)}, ("third",)),
    ],
)
async def test_a_run_stops_where_it_is_told_and_another_one_goes_on(
    saver: Saver, stops: dict[str, Any], next_nodes: tuple[str, ...]
) -> None:
    graph = Graph(saver)
    shown = await graph.run(1, **stops)
    assert isinstance(shown[-1], FinalResult)
    assert (await graph.state()).next == next_nodes
    done = await graph.log()
    lost = await graph.run(1, 2, **stops)  # its end was not stored
    assert not done or result(lost) == result(shown)
    assert (graph.ran, (await graph.state()).next) == ([], next_nodes)
    assert result(await graph.run(2, continues=True)) == "[third]"
    assert await graph.log() == ["first", "second", "third"]
    assert graph.ran == ["first", "second", "third"][len(done) :]
    state = await graph.state()
    assert (state.next, state.metadata["run_id"]) == ((), "message 2")
    assert [each.text for each in state.values["messages"] if isinstance(each, HumanMessage)] == ["question 1"]


@pytest.mark.parametrize("where", ["interrupt_before", "interrupt_after"])
async def test_a_compiled_breakpoint_stops_a_run_too(saver: Saver, where: str) -> None:
    graph = Graph(saver, **{where: ["second"]})
    await graph.run(1)
    waiting = (await graph.state()).next
    assert waiting == (("second",) if where == "interrupt_before" else ("third",))
    assert isinstance((await graph.run(1, 2))[-1], FinalResult)
    assert (await graph.state()).next == waiting
    assert result(await graph.run(2, continues=True)) == "[third]"


async def test_a_run_steps_through_a_graph(saver: Saver) -> None:
    graph = Graph(saver)
    await graph.run(1, interrupt_before=ALL_NODES)
    for number, name in enumerate(("first", "second", "third"), 2):
        await graph.run(number, continues=True, interrupt_before=ALL_NODES)
        assert graph.ran == [name]
        await graph.run(number, 2, continues=True, interrupt_before=ALL_NODES)
        assert graph.ran == []
    assert (await graph.state()).next == ()
    assert result(await graph.run(5, continues=True)) == "{}"  # nothing is left to do


@pytest.mark.parametrize("dies_in", ["second", "third"])
async def test_a_run_that_goes_on_is_retried_from_its_last_step(saver: Saver, dies_in: str) -> None:
    graph = Graph(saver)
    await graph.run(1, interrupt_before=("second",))
    graph.dies_in = dies_in
    assert await graph.run(2, continues=True) == ["died"]
    graph.dies_in = None
    assert result(await graph.run(2, 2, continues=True)) == "[third]"
    assert graph.ran == (["second", "third"] if dies_in == "second" else ["third"])
    assert await graph.log() == ["first", "second", "third"]


async def test_what_a_run_that_goes_on_asks_is_answered(saver: Saver) -> None:
    graph = Graph(saver)
    await graph.run(1, interrupt_before=("second",))
    graph.asks_in = "second"
    (asked,) = (await graph.run(2, continues=True))[-1]
    assert (await graph.run(2, 2, continues=True))[-1] == [asked]
    assert result(await graph.run(2, 3, resume={asked["id"]: "!"}, continues=True)) == "[third]"
    assert await graph.log() == ["first", "second!", "third"]


async def test_there_is_nothing_to_go_on_from(saver: Saver) -> None:
    with pytest.raises(InvalidInput, match="continue: the thread has no state"):
        await Graph(saver).run(1, continues=True)
    with pytest.raises(InvalidInput, match="command: the thread has no state"):
        await Graph(saver).run(1, command=GraphCommand(goto=("third",)))


COMMANDS = [
    (GraphCommand(update={"log": ["told"]}), ["first", "told"], []),
    (GraphCommand(update={"log": ["told"]}, goto=("aside",)), ["first", "told", "aside"], ["aside"]),
    (GraphCommand(goto=("third", "aside")), ["first", "aside", "third"], ["third", "aside"]),
    (GraphCommand(goto=(NodeInput(node="aside", input={"given": " 1"}),)), ["first", "aside 1"], ["aside"]),
]


@pytest.mark.parametrize(("command", "log", "ran"), COMMANDS)
async def test_a_command_changes_the_state_and_goes_to_nodes(
    saver: Saver, command: GraphCommand, log: list[str], ran: list[str]
) -> None:
    graph = Graph(saver)
    await graph.run(1)
    await graph.run(2, command=command)
    assert sorted(graph.ran) == sorted(ran)
    after = (await graph.log())[3:]
    assert sorted(after) == sorted(log[1:])
    assert (await graph.state()).metadata["run_id"] == "message 2"
    assert [each.text for each in (await graph.state()).values["messages"] if each.type == "human"] == ["question 1"]


@pytest.mark.parametrize("dies_in", ["aside", "third"])
async def test_a_command_is_applied_once_when_its_process_dies(saver: Saver, dies_in: str) -> None:
    graph = Graph(saver)
    await graph.run(1)
    command = GraphCommand(update={"log": ["told"]}, goto=("aside" if dies_in == "aside" else "second",))
    graph.dies_in = dies_in
    assert await graph.run(2, command=command) == ["died"]
    assert await graph.run(2, 2, command=command) == ["died"]
    graph.dies_in = None
    assert isinstance((await graph.run(2, 3, command=command))[-1], FinalResult)
    rest = ["aside"] if dies_in == "aside" else ["second", "third"]
    assert await graph.log() == ["first", "second", "third", "told", *rest]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"command": GraphCommand(goto=("none",))}, "command.goto"),
        ({"command": GraphCommand(update={"odd": 1})}, "command.update.odd"),
        (
            {"command": GraphCommand(update={"messages": [{"role": "odd", "content": ""}]})},
            "command.update.messages.0.role",
        ),
        ({"interrupt_before": ("first", "none")}, "interrupt_before"),
        ({"interrupt_after": ("none",)}, "interrupt_after"),
        ({"interrupt_after": ("first", "*")}, "interrupt_after"),
        ({"checkpoint_id": "none"}, "checkpoint_id"),
    ],
)
async def test_what_the_graph_does_not_have_is_named(saver: Saver, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await Graph(saver).run(1, **given)
    assert refused.value.field == field


async def place_after(graph: Graph, node: str) -> str:
    """The checkpoint at which this node has run last."""
    async for state in graph.agent._graph.aget_state_history(CONFIG):
        if state.values.get("log", [""])[-1:] == [node]:
            return str(state.config["configurable"]["checkpoint_id"])
    raise AssertionError(node)


@pytest.mark.parametrize("dies_in", [None, "first", "second", "third"])
async def test_a_run_begins_at_an_earlier_state_and_the_next_ones_go_on_from_it(
    saver: Saver, dies_in: str | None
) -> None:
    graph = Graph(saver)
    await graph.run(1)
    await graph.run(2)
    place = await place_after(graph, "third")
    history = [state async for state in graph.agent._graph.aget_state_history(CONFIG)]
    first_end = next(state for state in history if (state.metadata or {})["run_id"] == "message 1")
    place = first_end.config["configurable"]["checkpoint_id"]
    graph.dies_in = dies_in
    shown = await graph.run(3, checkpoint_id=place)
    if dies_in:
        graph.dies_in = None
        shown = await graph.run(3, 2, checkpoint_id=place)
    assert result(shown) == "[third]"
    state = await graph.state()
    asked = [each.text for each in state.values["messages"] if each.type == "human"]
    assert asked == ["question 1", "question 3"]
    assert state.values["log"] == ["first", "second", "third"] * 2
    await graph.run(4)
    asked = [each.text for each in (await graph.state()).values["messages"] if each.type == "human"]
    assert asked == ["question 1", "question 3", "question 4"]


@pytest.mark.parametrize("dies_in", [None, "second", "third"])
async def test_a_graph_goes_on_from_a_state_inside_an_earlier_run(saver: Saver, dies_in: str | None) -> None:
    graph = Graph(saver)
    await graph.run(1)
    place = await place_after(graph, "first")
    graph.dies_in = dies_in
    shown = await graph.run(2, continues=True, checkpoint_id=place)
    if dies_in:
        graph.dies_in = None
        shown = await graph.run(2, 2, continues=True, checkpoint_id=place)
    assert result(shown) == "[third]"
    assert graph.ran == ["third"] if dies_in == "third" else ["second", "third"]
    assert await graph.log() == ["first", "second", "third"]
    command = GraphCommand(update={"log": ["told"]}, goto=("aside",))
    await graph.run(3, command=command, checkpoint_id=place)
    assert await graph.log() == ["first", "told", "aside", "second", "third"]


async def test_a_command_runs_the_node_before_which_its_run_stops(saver: Saver) -> None:
    """Only later steps stop a run, so an attempt that died in its first step has not stopped."""
    graph = Graph(saver)
    await graph.run(1)
    given: dict[str, Any] = {"command": GraphCommand(goto=("second",)), "interrupt_before": ("second", "third")}
    graph.dies_in = "second"
    assert await graph.run(2, **given) == ["died"]
    await cast(AgentMemory, saver).forget_unfinished("default/thread/t", (2, 1))  # a killed process saves no error
    graph.dies_in = None
    assert isinstance((await graph.run(2, 2, **given))[-1], FinalResult)
    assert (graph.ran, (await graph.state()).next) == (["second"], ("third",))


async def test_a_run_that_goes_on_does_not_repeat_the_finished_branch_of_a_step(saver: Saver) -> None:
    ran: list[str] = []
    dies = True

    async def left(_: State) -> dict[str, Any]:
        ran.append("left")
        return {"log": ["left"]}

    async def right(_: State) -> dict[str, Any]:
        ran.append("right")
        if dies:
            await until(left_is_saved, "the other branch is saved")
            raise ProcessDies
        return {"log": ["right"]}

    async def left_is_saved() -> bool:
        state = await agent._graph.aget_state(CONFIG)
        return any(task.result is not None for task in state.tasks)

    builder = StateGraph(State)
    builder.add_node("left", cast(Any, left))
    builder.add_node("right", cast(Any, right))
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    agent = LangGraphAgent(builder.compile(), saver)
    with pytest.raises(ProcessDies):
        await run(agent, 1, 1)
    dies = False
    ran.clear()
    shown = await run(agent, 2, 1, given=RunInput(continues=True, events=(ShownEvent.NODE,)))
    assert ran == ["right"]
    nodes = [(part.chunk["node"], part.chunk["state"]) for part in shown if part and part[0] == "node"]
    assert sorted(nodes) == [(name, state) for name in ("left", "right") for state in ("end", "start")]
    assert sorted((await agent._graph.aget_state(CONFIG)).values["log"]) == ["left", "right"]
