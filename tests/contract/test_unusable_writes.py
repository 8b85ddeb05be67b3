"""A write of a step that the graph cannot take delays neither its message nor its thread, in every memory."""

import operator
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from app.agents.langgraph import LangGraphAgent
from tests.unit.test_langgraph_agent import Saver, run, texts

Node = Callable[[Any], Any]


class Items(MessagesState, total=False):
    """A state whose second channel takes lists only."""

    items: Annotated[list[Any], operator.add]


def graph(nodes: dict[str, Node], state: type = Items) -> Any:
    """Nodes side by side."""
    built: Any = StateGraph(state)
    for name, node in nodes.items():
        built.add_node(name, node)
        built.add_edge(START, name)
        built.add_edge(name, END)
    return built.compile()


class Bug:
    """first → works, which writes what `items` says; `heard` has the conversation that it saw each time."""

    def __init__(self, saver: Saver) -> None:
        self.saver = saver
        self.items: Any = 5
        self.heard: list[list[str]] = []
        self.firsts = 0

    async def first(self, state: Items) -> dict[str, Any]:
        """A finished step before the one with the bug."""
        self.firsts += 1
        return {"messages": [AIMessage("[first]")]}

    async def works(self, state: Items) -> dict[str, Any]:
        """The step with the bug."""
        self.heard.append([message.text for message in state["messages"]])
        return {"messages": [AIMessage("[works]")], "items": self.items}

    def agent(self) -> LangGraphAgent:
        """Return the agent as a newly started process has it."""
        built = StateGraph(Items)
        built.add_node("first", self.first)
        built.add_node("works", self.works)
        built.add_edge(START, "first")
        built.add_edge("first", "works")
        return LangGraphAgent(built.compile(), self.saver)

    def nested(self) -> LangGraphAgent:
        """The same as a subgraph that a node calls."""
        inner = graph({"works": self.works})

        async def calls(state: Items) -> dict[str, Any]:
            answered: dict[str, Any] = await inner.ainvoke({"messages": state["messages"]})
            return {"messages": answered["messages"]}

        return LangGraphAgent(graph({"calls": calls}), self.saver)


async def without_deletion(*_: object) -> None:
    """Leave the write as a version did that deleted nothing, or a process that died before it could."""


@pytest.fixture(params=["deleted at once", "left behind"])
def left(request: pytest.FixtureRequest, saver: Saver, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Whether the attempt that fails deletes what it wrote; call it when the next attempt begins."""
    if request.param == "left behind":
        monkeypatch.setattr(saver, "forget_unfinished", without_deletion)
    return monkeypatch.undo


async def test_the_message_itself_runs_the_step_again(saver: Saver, left: Callable[[], None]) -> None:
    bug = Bug(saver)
    with pytest.raises(TypeError, match="concatenate"):
        await run(bug.agent(), 1, 1)
    left()
    bug.items = ["mended"]
    assert texts(await run(bug.agent(), 1, 2))[-1] == "[works]"
    assert bug.heard == [["question 1", "[first]"]] * 2
    assert bug.firsts == 1


async def test_the_next_message_begins_behind_the_last_finished_step(saver: Saver, left: Callable[[], None]) -> None:
    bug = Bug(saver)
    with pytest.raises(TypeError):
        await run(bug.agent(), 1, 1)
    left()
    bug.items = ["mended"]
    await run(bug.agent(), 2, 1)
    assert bug.heard[-1] == ["question 1", "[first]", "question 2", "[first]"]
    await run(bug.agent(), 1, 2, place=3)
    assert bug.heard[-1] == ["question 2", "[first]", "[works]", "question 1", "[first]"]


async def test_each_attempt_runs_the_step_as_long_as_the_bug_is_there(saver: Saver) -> None:
    bug = Bug(saver)
    for fence in (1, 2, 3):
        with pytest.raises(TypeError):
            await run(bug.agent(), 1, fence)
    assert len(bug.heard) == 3


async def test_a_subgraph_that_a_node_calls_is_run_again_too(saver: Saver) -> None:
    bug = Bug(saver)
    with pytest.raises(TypeError):
        await run(bug.nested(), 1, 1)
    bug.items = ["mended"]
    assert texts(await run(bug.nested(), 1, 2))[-1] == "[works]"
    assert len(bug.heard) == 2


async def test_answers_stay_when_the_step_that_took_them_is_run_again(saver: Saver) -> None:
    items: Any = 5

    async def asks(_: Items) -> dict[str, Any]:
        return {"messages": [AIMessage(f"{interrupt('one?')} {interrupt('two?')}")], "items": items}

    agent = LangGraphAgent(graph({"asks": asks}), saver)
    (one,) = (await run(agent, 1, 1))[-1]
    (two,) = (await run(agent, 1, 2, resume={one["id"]: "first"}))[-1]
    with pytest.raises(TypeError):
        await run(agent, 1, 3, resume={two["id"]: "second"})
    items = []
    assert texts(await run(agent, 1, 4, resume={two["id"]: "second"}))[-1] == "first second"


async def test_another_message_hears_nothing_of_a_branch_that_finished_beside_one_that_failed(saver: Saver) -> None:
    """Its answer never became a part of the conversation."""
    heard: list[list[str]] = []
    is_broken = True

    async def finishes(state: Items) -> dict[str, Any]:
        heard.append([message.text for message in state["messages"]])
        call = {"id": f"call {len(heard)}", "name": "add", "args": {}}
        return {"messages": [AIMessage("[finished]", tool_calls=[call] if is_broken else [])]}

    async def fails(_: Items) -> dict[str, Any]:
        while not heard:
            raise AssertionError
        if is_broken:
            raise RuntimeError("not yet")
        return {}

    agent = LangGraphAgent(graph({"finishes": finishes, "later": fails}), saver)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 1)
    is_broken = False
    await run(agent, 2, 1)
    assert heard[-1] == ["question 1", "question 2"]


async def test_a_write_that_cannot_be_read_is_forgotten(saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = Bug(saver)
    with monkeypatch.context() as died:
        died.setattr(saver, "forget_unfinished", without_deletion)
        with pytest.raises(TypeError):
            await run(bug.agent(), 1, 1)
    load = saver.serde.loads_typed

    def loads_typed(stored: tuple[str, bytes]) -> Any:
        value = load(stored)
        if value == 5:
            raise ValueError("its class is gone")
        return value

    monkeypatch.setattr(type(saver.serde), "loads_typed", lambda _, stored: loads_typed(stored))
    bug.items = ["mended"]
    assert texts(await run(bug.agent(), 1, 2))[-1] == "[works]"


@pytest.mark.parametrize("number", [1, 2])
async def test_a_channel_and_a_node_may_be_gone_from_the_graph(saver: Saver, number: int) -> None:
    bug = Bug(saver)
    with pytest.raises(TypeError):
        await run(bug.agent(), 1, 1)

    async def answers(state: MessagesState) -> dict[str, Any]:
        assert [message.id for message in state["messages"] if isinstance(message, HumanMessage)][
            -1
        ] == f"message {number}"
        return {"messages": [AIMessage("[new]")]}

    agent = LangGraphAgent(graph({"first": answers}, MessagesState), saver)
    shown = texts(await run(agent, number, 2))
    assert shown[-1] == ("[new]" if number == 2 else "[first]")


async def test_an_edge_that_fails_behind_its_node_is_gone_along_again(saver: Saver) -> None:
    """LangGraph takes the node for finished and would end without the nodes behind the edge."""
    built = StateGraph(MessagesState)
    tries = 0

    async def first(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("[first]")]}

    async def last(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("[last]")]}

    def edge(_: MessagesState) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("not yet")
        return "last"

    built.add_node("first", first)
    built.add_node("last", last)
    built.add_edge(START, "first")
    built.add_conditional_edges("first", edge, ["last"])
    agent = LangGraphAgent(built.compile(), saver)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 1)
    assert texts(await run(agent, 1, 2))[-1] == "[last]"
