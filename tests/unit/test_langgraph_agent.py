"""An attempt shows what goes on behind an earlier one, and a thread keeps parts of a turn that failed."""

import asyncio
import json
import operator
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from app.agents.base import AgentDrained, AgentInterrupted, AgentTask, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.models.attempts import Lease
from app.models.parts import Part
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


async def run(
    agent: LangGraphAgent, number: int, fence: int, drain: Drain | None = None, place: int | None = None, **given: Any
) -> list[Any]:
    """All that one attempt at message `number` shows, at this place in the thread.

    Last, `drained` when it was, or what it asks.
    """
    task = AgentTask(
        lease=Lease(f"message {number}", fence, 1, "worker"),
        content=f"question {number}",
        memory_key="default/thread/t",
        memory_fence=(place or number, fence),
        drain=drain or Drain(),
        **given,
    )
    shown: list[Any] = []
    try:
        async with aclosing(agent.run(task)) as parts:
            async for part in parts:
                shown.append(part)  # noqa: PERF401  what came before a drain counts
    except AgentDrained:
        shown.append("drained")
    except AgentInterrupted as interrupted:
        shown.append(json.loads(interrupted.interrupts))
    return shown


def alike(shown: list[Any]) -> list[Any]:
    """Return the parts without ids, and without nodes and paths, which the memory does not keep of a message."""
    return [part._replace(message=None, node=None, path=()) if isinstance(part, Part) else part for part in shown]


@pytest.mark.parametrize("at", ["before", "call", "answer"])
async def test_a_later_attempt_shows_the_finished_steps_again_as_they_were(saver: Saver, at: str) -> None:
    async with open_saver("memory://", "another queue") as other:
        undisturbed = alike(await run(LangGraphAgent(Interrupting(None).graph(), other), 1, 1))
    nodes = Interrupting(at)
    agent = LangGraphAgent(nodes.graph(), saver)
    assert (await run(agent, 1, 1, nodes.drain))[-1] == "drained"
    nodes.at = None
    assert alike(await run(agent, 1, 3)) == undisturbed


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

    def saving() -> list[object]:
        return [task for task in asyncio.all_tasks() if "aput" in getattr(task.get_coro(), "__qualname__", "")]

    await until(lambda: not saving(), "what LangGraph still wrote for the first run has ended")


async def test_an_attempt_that_ended_before_its_first_step_leaves_nothing_to_show(saver: Saver) -> None:
    """Its checkpoint has only the input; the answers before it are not this message's."""
    agent = LangGraphAgent(chain(only=Interrupting(None).node("only")), saver)
    first = await run(agent, 1, 1)
    requested = Drain()
    requested.request()
    assert await run(agent, 2, 1, requested) == ["drained"]
    assert alike(await run(agent, 2, 3)) == alike(first)


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


# Interrupts


class Asking:
    """first → asks twice → last. Counts what was run."""

    def __init__(self) -> None:
        self.runs: list[str] = []

    def node(self, name: str, *questions: object) -> Any:
        """A node that says its name and what it was answered."""

        async def run(_: MessagesState) -> dict[str, Any]:
            self.runs.append(name)
            answers = [str(interrupt(question)) for question in questions]
            return {"messages": [AIMessage(" ".join([f"[{name}]", *answers]))]}

        return run

    def graph(self) -> Any:
        """In a subgraph, so that the questions come from within."""
        inner = chain(asks=self.node("asks", {"ask": float("nan")}, "and"))
        return chain(first=self.node("first"), inner=inner, last=self.node("last"))


def texts(shown: list[Any]) -> list[str]:
    kept = [part for part in shown if isinstance(part, FinalResult) or part.type != "discard"]
    return [part.text if isinstance(part, FinalResult) else part.chunk for part in kept]


async def test_a_run_that_asks_ends_with_the_question_and_goes_on_with_the_answer(saver: Saver) -> None:
    nodes = Asking()
    agent = LangGraphAgent(nodes.graph(), saver)
    *shown, asked = await run(agent, 1, 1)
    assert texts(shown) == ["[first]"]
    assert [each["value"] for each in asked] == [{"ask": None}]
    *shown, asked_next = await run(agent, 1, 2, resume={asked[0]["id"]: 7})
    assert texts(shown) == ["[first]"]
    assert [each["value"] for each in asked_next] == ["and"]
    assert asked_next[0]["id"] != asked[0]["id"]
    shown = await run(agent, 1, 3, resume={asked_next[0]["id"]: {"b": [8]}})
    assert texts(shown) == ["[first]", "[asks] 7 {'b': [8]}", "[last]", "[last]"]
    assert nodes.runs == ["first", "asks", "asks", "asks", "last"]


async def test_a_question_that_was_not_told_is_asked_again_without_running(saver: Saver) -> None:
    """The worker may be lost after the graph has asked and before the message is interrupted."""
    nodes = Asking()
    agent = LangGraphAgent(nodes.graph(), saver)
    shown = await run(agent, 1, 1)
    assert alike(await run(agent, 1, 2)) == alike(shown)
    asked = shown[-1]
    told = await run(agent, 1, 3, resume={asked[0]["id"]: 7})
    assert alike(await run(agent, 1, 4, resume={asked[0]["id"]: 7})) == alike(told)  # an answer to an earlier question
    assert nodes.runs == ["first", "asks", "asks"]


async def cancel(attempt: asyncio.Task[Any]) -> None:
    """Cancel an attempt and wait until it is over.

    LangGraph begins to save that a node was cancelled, and does not wait for it.
    """
    others = asyncio.all_tasks()
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    async with asyncio.timeout(5):
        while left := asyncio.all_tasks() - others:
            await asyncio.wait(left)


async def test_an_answer_outlives_a_run_that_was_cut_off_behind_it(saver: Saver) -> None:
    runs = 0
    cut_off = asyncio.Event()

    async def asks(_: MessagesState) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        answer = interrupt("?")
        if runs == 2:
            cut_off.set()
            await asyncio.Event().wait()
        return {"messages": [AIMessage(answer)]}

    agent = LangGraphAgent(chain(asks=asks), saver)
    (asked,) = (await run(agent, 1, 1))[-1]
    first = asyncio.create_task(run(agent, 1, 2, resume={asked["id"]: "yes"}))
    await cut_off.wait()
    await cancel(first)
    assert texts(await run(agent, 1, 3, resume={asked["id"]: "yes"})) == ["yes", "yes"]
    assert runs == 3


@pytest.mark.parametrize("how", ["fails", "is cancelled", "is killed"])
@pytest.mark.parametrize("shown", ["the same", "its own"])
async def test_an_attempt_that_ends_between_two_questions_leaves_the_second_to_the_human(
    saver: Saver, how: str, shown: str
) -> None:
    between = asyncio.Event()
    ends = True

    async def asks(_: MessagesState) -> dict[str, Any]:
        first = interrupt("Sure?")
        if ends:
            between.set()
            if how == "fails":
                raise RuntimeError("not yet")
            await asyncio.Event().wait()
        second = interrupt("Sure?" if shown == "the same" else "Drop the database?")
        return {"messages": [AIMessage(f"{first}, {second}")]}

    agent = LangGraphAgent(chain(asks=asks), saver)
    (first,) = (await run(agent, 1, 1))[-1]
    ending = asyncio.create_task(run(agent, 1, 2, resume={first["id"]: "yes"}))
    await between.wait()
    ends = False
    if how == "is cancelled":
        await cancel(ending)
    if how == "fails":
        await asyncio.gather(ending, return_exceptions=True)
    (second,) = (await run(agent, 1, 3, resume={first["id"]: "yes"}))[-1]
    await cancel(ending)
    assert second["id"] != first["id"]
    assert texts(await run(agent, 1, 4, resume={second["id"]: "no"}))[-1] == "yes, no"


async def test_earlier_answers_outlive_a_run_that_fails_before_it_takes_them_again(saver: Saver) -> None:
    fails = False

    async def asks(_: MessagesState) -> dict[str, Any]:
        answers = [interrupt("one?")]
        if fails:
            raise RuntimeError("not yet")
        answers += [interrupt("two?"), interrupt("three?")]
        return {"messages": [AIMessage(", ".join(answers))]}

    agent = LangGraphAgent(chain(asks=asks), saver)
    (asked,) = (await run(agent, 1, 1))[-1]
    for fence in (2, 3):
        (asked,) = (await run(agent, 1, fence, resume={asked["id"]: f"answer {fence}"}))[-1]
    fails = True
    with pytest.raises(RuntimeError):
        await run(agent, 1, 4, resume={asked["id"]: "answer 4"})
    fails = False
    assert texts(await run(agent, 1, 5, resume={asked["id"]: "answer 4"}))[-1] == "answer 2, answer 3, answer 4"


async def test_branches_that_ask_at_the_same_time_are_answered_one_by_one_or_together(saver: Saver) -> None:
    nodes = Asking()
    graph = StateGraph(MessagesState)
    for name in ("left", "right", "third"):
        graph.add_node(name, nodes.node(name, f"{name}?"))
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    agent = LangGraphAgent(graph.compile(), saver)
    asked = {each["value"]: each["id"] for each in (await run(agent, 1, 1))[-1]}
    assert set(asked) == {"left?", "right?", "third?"}
    left = (await run(agent, 1, 2, resume={asked["left?"]: 1}))[-1]
    assert {each["value"]: each["id"] for each in left} == {name: asked[name] for name in ("right?", "third?")}
    shown = await run(agent, 1, 3, resume={asked["right?"]: 2, asked["third?"]: 3, "0" * 32: 4})
    assert {"[right] 2", "[third] 3"} <= set(texts(shown))


async def test_a_question_of_a_message_that_ended_is_not_the_next_ones(saver: Saver) -> None:
    agent = LangGraphAgent(chain(first=Asking().node("first"), asks=Asking().node("asks", "?")), saver)
    (asked,) = (await run(agent, 1, 1))[-1]
    *shown, (asked_next,) = await run(agent, 2, 1)
    assert texts(shown) == ["[first]"]
    assert asked_next["id"] != asked["id"]
    assert texts(await run(agent, 2, 2, resume={asked_next["id"]: "yes"}))[-1] == "[asks] yes"


# Messages that are put back, and messages that are forgotten


class Hearing:
    """first → hears, which fails for the messages that are named."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.heard: list[list[str]] = []

    async def first(self, _: MessagesState) -> dict[str, Any]:
        """The node before, whose step is finished when the next one fails."""
        return {"messages": [AIMessage("[first]", tool_calls=[CALL])]}

    async def hears(self, state: MessagesState) -> dict[str, Any]:
        """Notes the conversation."""
        self.heard.append([message.text for message in state["messages"]])
        asked = [message.text for message in state["messages"] if isinstance(message, HumanMessage)]
        if asked[-1] in self.failing:
            raise RuntimeError("not yet")
        return {"messages": [ToolMessage("42", tool_call_id=CALL["id"]), AIMessage("[heard]")]}

    def agent(self, saver: Saver) -> LangGraphAgent:
        """Return the graph as an agent."""
        return LangGraphAgent(chain(first=self.first, hears=self.hears), saver)


async def test_a_failed_message_whose_thread_moved_on_becomes_a_new_turn_at_the_end(saver: Saver) -> None:
    nodes = Hearing("question 1")
    agent = nodes.agent(saver)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 1)
    await run(agent, 2, 1)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 2, place=3)
    nodes.failing.clear()
    assert texts([(await run(agent, 1, 3, place=3))[-1]]) == ["[heard]"]
    turn = ["question 2", "[first]", "42", "[heard]"]
    assert nodes.heard == [
        ["question 1", "[first]"],
        ["question 1", "[first]", "The call was interrupted.", "question 2", "[first]"],
        [*turn, "question 1", "[first]"],
        [*turn, "question 1", "[first]"],
    ]
    await run(agent, 4, 1)
    assert nodes.heard[-1] == [*turn, "question 1", "[first]", "42", "[heard]", "question 4", "[first]"]


async def test_a_failed_message_whose_thread_waits_goes_on_behind_its_last_step(saver: Saver) -> None:
    nodes = Hearing("question 1")
    agent = nodes.agent(saver)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 1)
    nodes.failing.clear()
    await run(agent, 1, 2, place=3)
    assert nodes.heard == [["question 1", "[first]"]] * 2


class AddedUp(TypedDict):
    """A state whose reducer knows no ids."""

    messages: Annotated[list[Any], operator.add]


async def test_a_turn_is_put_at_the_end_also_by_a_reducer_that_knows_no_ids(saver: Saver) -> None:
    heard: list[list[str]] = []

    async def hears(state: AddedUp) -> AddedUp:
        heard.append([message.text for message in state["messages"]])
        return {"messages": [AIMessage("[heard]")]}

    graph = StateGraph(AddedUp)
    graph.add_node("hears", hears)
    graph.add_edge(START, "hears")
    agent = LangGraphAgent(graph.compile(), saver)
    await run(agent, 1, 1)
    await run(agent, 2, 1)
    await run(agent, 1, 2, place=3)
    assert heard[-1] == ["question 2", "[heard]", "question 1"]


async def test_a_message_forgets_those_that_it_rolls_back(saver: Saver) -> None:
    nodes = Hearing("question 2", "question 3")
    agent = nodes.agent(saver)
    await run(agent, 1, 1)
    for number in (2, 3):
        with pytest.raises(RuntimeError):
            await run(agent, number, 1)
    nodes.failing.add("question 4")
    for fence in (1, 2):
        with pytest.raises(RuntimeError):
            await run(agent, 4, fence, rollback=("message 2", "message 3", "never run"))
    nodes.failing.clear()
    shown = await run(agent, 4, 3, rollback=("message 2", "message 3", "never run"))
    assert texts(shown)[-1] == "[heard]"
    assert nodes.heard[-1] == ["question 1", "[first]", "42", "[heard]", "question 4", "[first]"]
    assert nodes.heard[-3:] == [nodes.heard[-1]] * 3


async def test_the_first_message_of_a_thread_is_forgotten_too(saver: Saver) -> None:
    nodes = Hearing("question 1")
    agent = nodes.agent(saver)
    with pytest.raises(RuntimeError):
        await run(agent, 1, 1)
    await run(agent, 2, 1, rollback=("message 1",))
    assert nodes.heard[-1] == ["question 2", "[first]"]
