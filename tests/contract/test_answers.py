"""A human's answer reaches its own question once, whatever happens to the attempts in between, in every memory."""

import asyncio
import json
from contextlib import aclosing
from typing import Any, NamedTuple, TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from app.agents.base import AgentDrained, AgentInterrupted, AgentTask, Drain
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.models import Lease

SHAPES = ("one", "beside", "nested", "called", "sent")
FAULTS = ("fail", "drain", "stop", "kill")
POINTS = [None, *((name, number) for name in "abc" for number in range(4))]
LEFT_SECONDS = 5
ATTEMPTS = 60
"""More than any run of this test needs."""


class Step(NamedTuple):
    """What happens to an attempt: a fault at a point, whether its failure is the last, how many questions are answered.

    Drawn before the run, whose timing may differ.
    """

    how: str
    at: tuple[str, int] | None
    is_last: bool
    answers: int


UNDISTURBED = Step("", None, is_last=False, answers=9)
STEPS = st.builds(Step, st.sampled_from(FAULTS), st.sampled_from(POINTS), st.booleans(), st.integers(1, 3))


class Sent(TypedDict):
    """What a parallel task is given."""

    name: str


class Broken(Exception):
    """What a node raises when the test tells it to."""


class Asking:
    """Graphs whose nodes ask numbered questions and note the answers; one fault may happen at a point of an attempt."""

    def __init__(self, shape: str, same_text: bool) -> None:
        self.same_text = same_text
        self.fault: tuple[str, int] | None = None
        self.how = ""
        self.drain = Drain()
        self.hanging = asyncio.Event()
        self.received: list[tuple[str, str]] = []
        self.graph = getattr(self, f"_{shape}")()

    async def asks(self, name: str, questions: int) -> dict[str, Any]:
        """Ask this many questions, one after the other."""
        for number in range(questions):
            await self._point(name, number)
            text = "Sure?" if self.same_text else f"{name} {number}"
            self.received.append((f"{name} {number}", interrupt({"text": text, "key": f"{name} {number}"})))
        await self._point(name, questions)
        return {"messages": [AIMessage(name)]}

    def node(self, name: str, questions: int) -> Any:
        """A node that asks."""

        async def run(_: MessagesState) -> dict[str, Any]:
            return await self.asks(name, questions)

        return run

    async def _point(self, name: str, number: int) -> None:
        if self.fault != (name, number):
            return
        self.fault = None
        if self.how == "fail":
            raise Broken
        if self.how == "drain":
            self.drain.request()
            return
        self.hanging.set()
        await asyncio.Event().wait()

    def _one(self) -> Any:
        return _graph({"a": self.node("a", 3)})

    def _beside(self) -> Any:
        return _graph({"a": self.node("a", 2), "b": self.node("b", 1), "c": self.node("c", 0)})

    def _nested(self) -> Any:
        inner = _graph({"a": self.node("a", 2), "b": self.node("b", 2)})
        return _graph({"c": self.node("c", 1), "outer": _graph({"inner": inner})})

    def _called(self) -> Any:
        inner = _graph({"a": self.node("a", 2)})

        async def calls(state: MessagesState) -> dict[str, Any]:
            await self.asks("b", 1)
            answered: dict[str, Any] = await inner.ainvoke({"messages": state["messages"]})
            await self.asks("c", 1)
            return {"messages": answered["messages"]}

        return _graph({"calls": calls})

    def _sent(self) -> Any:
        async def asks(sent: Sent) -> dict[str, Any]:
            return await self.asks(sent["name"], 2)

        graph = StateGraph(MessagesState)
        graph.add_node("asks", asks)
        graph.add_conditional_edges(START, lambda _: [Send("asks", {"name": name}) for name in ("a", "b")], ["asks"])
        return graph.compile()


def _graph(nodes: dict[str, Any]) -> Any:
    """These nodes side by side."""
    graph = StateGraph(MessagesState)
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph.compile()


async def attempt(agent: LangGraphAgent, fence: int, resume: dict[str, Any] | None, drain: Drain) -> Any:
    """Run one attempt. Return what the graph asks, or None when it has ended."""
    task = AgentTask(Lease("message", fence, 1, "worker"), "Go", "default/thread/t", (1, fence), drain, resume)
    try:
        async with aclosing(agent.run(task)) as parts:
            async for _ in parts:
                pass
    except AgentInterrupted as interrupted:
        return json.loads(interrupted.interrupts)
    return None


class Human:
    """Answers what is asked, each question with an answer of its own, and knows what it answered."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}

    def answer(self, asked: list[dict[str, Any]]) -> dict[str, Any]:
        """The values of a resume, by id."""
        values = {}
        for question in asked:
            key = question["value"]["key"]
            given = self.answers.setdefault(key, [])
            given.append(f"{key} answered {len(given)}")
            values[question["id"]] = given[-1]
        return values


class Play:
    """Runs one message through random faults and answers to its end."""

    def __init__(self, shape: str, same_text: bool, plan: list[Step]) -> None:
        self.plan = plan
        self.graph = Asking(shape, same_text)
        self.human = Human()
        self.resume: dict[str, Any] | None = None
        self.requeued = False
        self.hung: list[asyncio.Task[Any]] = []

    async def run(self, memory_url: str) -> None:
        """Run until the message has ended."""
        async with open_saver(memory_url, "this queue") as saver:
            await saver.forget(["default/thread/t"])
            savers_own = asyncio.all_tasks()
            agent = LangGraphAgent(self.graph.graph, saver)
            try:
                for fence in range(1, ATTEMPTS):
                    if await self._attempt(agent, fence):
                        return
                raise AssertionError("the message never ended")
            finally:
                for task in self.hung:
                    task.cancel()
                async with asyncio.timeout(LEFT_SECONDS):
                    while left := asyncio.all_tasks() - savers_own:  # what is cancelled may still begin to write
                        await asyncio.wait(left)

    async def _attempt(self, agent: LangGraphAgent, fence: int) -> bool:
        """Whether the message has ended with this attempt."""
        graph = self.graph
        graph.drain, graph.hanging = Drain(), asyncio.Event()
        step = self.plan[fence - 1] if fence <= len(self.plan) else UNDISTURBED
        graph.how, graph.fault = step.how, step.at
        running = asyncio.create_task(attempt(agent, fence, self.resume, graph.drain))
        hanging = asyncio.create_task(graph.hanging.wait())
        await asyncio.wait([running, hanging], return_when=asyncio.FIRST_COMPLETED)
        hanging.cancel()
        if graph.hanging.is_set():
            self.hung.append(
                running
            )  # after a kill it writes nothing more: the next attempt's fence keeps it from that
            if graph.how == "stop":
                running.cancel()
                await asyncio.wait([running])
            return False
        try:
            asked = await running
        except AgentDrained:
            return False
        except Broken:
            if step.is_last:  # its attempts are used up, and it is put back
                self.resume, self.requeued = None, True
            return False
        if asked is None:
            return True
        assert asked
        asked.sort(key=lambda question: question["value"]["key"])
        self.resume = self.human.answer(asked[: step.answers])
        return False

    def check(self) -> None:
        """Compare what each question got with what it was answered."""
        got: dict[str, set[str]] = {}
        for key, value in self.graph.received:
            got.setdefault(key, set()).add(value)
        assert got.keys() == self.human.answers.keys()
        for key, answers in self.human.answers.items():
            assert got[key] <= set(answers)
            assert len(got[key]) == 1, "a question was given a second answer after it had taken one"
            if not self.requeued:
                assert answers == list(got[key]), "a question was asked again although it had been answered"


@pytest.mark.parametrize("shape", SHAPES)
def test_each_answer_reaches_its_own_question_once(memory_url: str, shape: str) -> None:
    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.lists(STEPS, min_size=4, max_size=ATTEMPTS // 2))
    def check(same_text: bool, plan: list[Step]) -> None:
        play = Play(shape, same_text, plan)
        asyncio.run(play.run(memory_url))
        play.check()

    check()
