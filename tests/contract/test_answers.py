"""A human's answer reaches its own question once, whatever happens to the attempts in between, in every memory."""

import asyncio
import json
from collections.abc import Collection
from contextlib import aclosing
from typing import Any, NamedTuple, TypedDict

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langgraph.config import get_config
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from app.agents.base import AgentDrained, AgentInterrupted, AgentTask, Drain
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.models.attempts import Lease
from app.models.memory import MEMORY_FENCE_KEY

SHAPES = {
    "one": {"a": 3},
    "beside": {"a": 2, "b": 1, "c": 0},
    "nested": {"a": 2, "b": 2, "c": 1},
    "called": {"a": 2, "b": 1, "c": 1},
    "sent": {"a": 2, "b": 2},
}
"""How many questions each node asks."""
FAULTS = ("fail", "drain", "stop", "kill")
LEFT_SECONDS = 5
EXAMPLES = 60
"""Examples of each shape. Without what the savers keep, some shapes fail with these on each engine."""
ATTEMPTS = 60
"""More than any run of this test needs."""


class Step(NamedTuple):
    """A fate of an attempt: a fault at a point, whether its failure is the last, how many questions are answered.

    Drawn before the run, whose timing may differ.
    """

    how: str
    at: tuple[str, int] | None
    is_last: bool
    answers: int


UNDISTURBED = Step("", None, is_last=False, answers=9)


def steps(shape: str) -> st.SearchStrategy[Step]:
    """Steps with faults at the points that a graph of this shape has."""
    points = [(name, number) for name, questions in SHAPES[shape].items() for number in range(questions + 1)]
    at = st.none() | st.sampled_from(points)
    return st.builds(Step, st.sampled_from(FAULTS), at, st.booleans(), st.integers(1, 3))


class Sent(TypedDict):
    """The input of a parallel task."""

    name: str


class Broken(Exception):
    """The error that a node raises when the test tells it to."""


class Attempt:
    """An attempt's fault, and the answers that nodes took in it. A killed attempt may still run beside the next."""

    def __init__(self, step: Step) -> None:
        self.how, self.at = step.how, step.at
        self.drain = Drain()
        self.hanging = asyncio.Event()
        self.received: list[tuple[str, str]] = []
        self.failed: str | None = None
        """The node that failed."""
        self.drained: str | None = None
        """The node that ran when the drain began."""

    async def point(self, name: str, number: int) -> None:
        """Let the fault happen if this is its point, once."""
        if self.at != (name, number):
            return
        self.at = None
        if self.how == "fail":
            self.failed = name
            raise Broken
        if self.how == "drain":
            self.drained = name
            self.drain.request()
            return
        self.hanging.set()
        await asyncio.Event().wait()


class Asking:
    """Graphs whose nodes ask numbered questions and note the answers with the attempt that they run in."""

    def __init__(self, shape: str, same_text: bool) -> None:
        self.same_text = same_text
        self.questions = SHAPES[shape]
        self.inside = {"c": ("a", "b")} if shape == "nested" else {}
        """The nodes of graphs that run beside a node."""
        self.calling = {"b"} if shape == "called" else set()
        """The nodes that call a graph when they have their answers."""
        self.attempts: dict[int, Attempt] = {}
        self.graph = getattr(self, f"_{shape}")()

    def cut_off_in(self, attempt: Attempt) -> Collection[str]:
        """The nodes that may have been cut off before what they took was saved.

        LangGraph saves what the tasks beside a failed one have done, but it cancels a graph that runs in such a task.
        During a drain, a graph that a node calls does not begin, and the node ends there.
        """
        if attempt.hanging.is_set():
            return self.questions
        if attempt.drained in self.calling:
            return self.calling
        return self.inside.get(attempt.failed or "", ())

    async def asks(self, name: str) -> dict[str, Any]:
        """Ask this node's questions, one after the other."""
        _, fence = get_config()["configurable"][MEMORY_FENCE_KEY]
        attempt = self.attempts[fence]
        for number in range(self.questions[name]):
            await attempt.point(name, number)
            text = "Sure?" if self.same_text else f"{name} {number}"
            attempt.received.append((f"{name} {number}", interrupt({"text": text, "key": f"{name} {number}"})))
        await attempt.point(name, self.questions[name])
        return {"messages": [AIMessage(name)]}

    def node(self, name: str) -> Any:
        """A node that asks."""

        async def run(_: MessagesState) -> dict[str, Any]:
            return await self.asks(name)

        return run

    def _one(self) -> Any:
        return _graph({"a": self.node("a")})

    def _beside(self) -> Any:
        return _graph({"a": self.node("a"), "b": self.node("b"), "c": self.node("c")})

    def _nested(self) -> Any:
        inner = _graph({"a": self.node("a"), "b": self.node("b")})
        return _graph({"c": self.node("c"), "outer": _graph({"inner": inner})})

    def _called(self) -> Any:
        inner = _graph({"a": self.node("a")})

        async def calls(state: MessagesState) -> dict[str, Any]:
            await self.asks("b")
            answered: dict[str, Any] = await inner.ainvoke({"messages": state["messages"]})
            await self.asks("c")
            return {"messages": answered["messages"]}

        return _graph({"calls": calls})

    def _sent(self) -> Any:
        async def asks(state: Sent) -> dict[str, Any]:
            return await self.asks(state["name"])

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


async def run_attempt(agent: LangGraphAgent, fence: int, resume: dict[str, Any] | None, drain: Drain) -> Any:
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
    """Answers what is asked, each question with an answer of its own, and knows which answers count.

    An answer counts from when it is given. An answer that a node took is saved, unless that node was cut off. Answers
    that are not saved are gone when the message has failed for good and is put back; only they may be asked for again.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self._counting: dict[str, str] = {}
        self._saved: set[str] = set()

    def answer(self, asked: list[dict[str, Any]]) -> dict[str, Any]:
        """The values of a resume, by id."""
        values = {}
        for question in asked:
            key = question["value"]["key"]
            given = self.answers.setdefault(key, [])
            given.append(f"{key} answered {len(given)}")
            values[question["id"]] = self._counting[key] = given[-1]
        return values

    def compare_asked(self, asked: list[dict[str, Any]]) -> None:
        """Make sure that none of these questions has an answer that counts."""
        again = {question["value"]["key"] for question in asked} & self._counting.keys()
        assert not again, f"asked again although answered: {again}"

    def compare_received(self, received: list[tuple[str, str]], cut_off: Collection[str]) -> None:
        """Make sure that each question of an attempt got the answer that counts; these nodes were cut off in it."""
        for key, value in received:
            assert value in self.answers.get(key, ()), f"{key} got what was never answered to it: {value}"
            assert self._counting.setdefault(key, value) == value, f"{key} got another answer than before: {value}"
            if key.partition(" ")[0] not in cut_off:
                self._saved.add(key)

    def put_back(self) -> None:
        """The message has failed for good and is put back."""
        self._counting = {key: value for key, value in self._counting.items() if key in self._saved}


class Play:
    """Runs one message through faults and answers to its end, and compares after each attempt."""

    def __init__(self, shape: str, plan: list[Step], *, same_text: bool = False) -> None:
        self.plan = plan
        self.graph = Asking(shape, same_text)
        self.human = Human()
        self.resume: dict[str, Any] | None = None
        self.hung: list[asyncio.Task[Any]] = []

    async def run(self, saver: Any) -> None:
        """Run until the message has ended."""
        await saver.forget(["default/thread/t"])
        savers_own = asyncio.all_tasks()
        agent = LangGraphAgent(self.graph.graph, saver)
        try:
            for fence in range(1, ATTEMPTS):
                if await self._attempt(agent, fence):
                    received = {key for each in self.graph.attempts.values() for key, _ in each.received}
                    assert received == self.human.answers.keys() == self._questions()
                    return
            raise AssertionError("the message never ended")
        finally:
            for task in self.hung:
                task.cancel()
            async with asyncio.timeout(LEFT_SECONDS):
                while left := asyncio.all_tasks() - savers_own:  # what is cancelled may still begin to write
                    await asyncio.wait(left)

    def _questions(self) -> set[str]:
        return {f"{name} {number}" for name, count in self.graph.questions.items() for number in range(count)}

    async def _attempt(self, agent: LangGraphAgent, fence: int) -> bool:
        """Whether the message has ended with this attempt."""
        step = self.plan[fence - 1] if fence <= len(self.plan) else UNDISTURBED
        attempt = self.graph.attempts[fence] = Attempt(step)
        running = asyncio.create_task(run_attempt(agent, fence, self.resume, attempt.drain))
        hanging = asyncio.create_task(attempt.hanging.wait())
        await asyncio.wait([running, hanging], return_when=asyncio.FIRST_COMPLETED)
        hanging.cancel()
        if attempt.hanging.is_set():
            self.hung.append(
                running
            )  # after a kill it writes nothing more: the next attempt's fence keeps it from that
            if step.how == "stop":
                running.cancel()
                await asyncio.wait([running])
        self.human.compare_received(attempt.received, self.graph.cut_off_in(attempt))
        if attempt.hanging.is_set():
            return False
        try:
            asked = await running
        except AgentDrained:
            return False
        except Broken:
            if step.is_last:  # its attempts are used up, and it is put back
                self.resume = None
                self.human.put_back()
            return False
        if asked is None:
            return True
        assert asked
        self.human.compare_asked(asked)
        asked.sort(key=lambda question: question["value"]["key"])
        self.resume = self.human.answer(asked[: step.answers])
        return False


@pytest.mark.parametrize("shape", SHAPES)
def test_each_answer_reaches_its_own_question_once(memory_url: str, shape: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # to shrink a plan takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(st.booleans(), st.lists(steps(shape), min_size=4, max_size=ATTEMPTS // 2))
    def check(same_text: bool, plan: list[Step]) -> None:
        runner.run(Play(shape, plan, same_text=same_text).run(opened))

    with asyncio.Runner() as runner:
        saver = open_saver(memory_url, "this queue")
        opened = runner.run(saver.__aenter__())
        try:
            check()
        finally:
            runner.run(saver.__aexit__(None, None, None))


@pytest.mark.parametrize("is_last", [False, True])
async def test_an_answer_of_a_cut_off_attempt_is_asked_for_again_only_when_the_message_is_put_back(
    saver: Any, is_last: bool
) -> None:
    asked = Step("", None, is_last=False, answers=2)
    killed = Step("kill", ("a", 1), is_last=False, answers=2)
    failed = Step("fail", ("a", 0), is_last=is_last, answers=2)
    play = Play("sent", [asked, killed, failed])
    await play.run(saver)
    assert len(play.human.answers["a 0"]) == (2 if is_last else 1)


@pytest.mark.parametrize("is_last", [False, True])
async def test_a_drain_before_a_node_calls_a_graph_cuts_the_node_off(saver: Any, is_last: bool) -> None:
    asked = Step("", None, is_last=False, answers=2)
    drained = Step("drain", ("b", 1), is_last=False, answers=2)
    failed = Step("fail", ("b", 0), is_last=is_last, answers=2)
    play = Play("called", [asked, drained, failed])
    await play.run(saver)
    assert len(play.human.answers["b 0"]) == (2 if is_last else 1)


async def test_what_a_parallel_task_took_beside_a_failure_is_not_asked_for_again(saver: Any) -> None:
    asked = Step("", None, is_last=False, answers=2)
    failed = Step("fail", ("b", 2), is_last=True, answers=2)
    play = Play("sent", [asked, asked, failed])
    await play.run(saver)
    assert {key: len(given) for key, given in play.human.answers.items()} == {"a 0": 1, "a 1": 1, "b 0": 1, "b 1": 1}
