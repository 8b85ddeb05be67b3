"""A graph gets a message as blocks, an input of any state, whole conversations, a context, a config."""

import json
import operator
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from app.agents.base import AgentDrained, AgentInterrupted, AgentTask, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.errors import InvalidInput
from app.models.attempts import Lease
from app.models.inputs import RunConfig, RunInput

Saver = BaseCheckpointSaver[str]


@pytest.fixture
async def saver() -> AsyncIterator[Saver]:
    """An open, empty memory; the engine makes no difference here."""
    async with open_saver("memory://", "this queue") as opened:
        yield opened


def graph_of(state: Any, *nodes: Any, **given: Any) -> Any:
    """A graph of these nodes, one after the other."""
    graph: Any = StateGraph(state, **given)
    names = [f"node {index}" for index in range(len(nodes))]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph.compile()


def task_of(
    number: int = 1, fence: int = 1, drain: Drain | None = None, content: str = "Hello", thread: str = "t", **given: Any
) -> AgentTask:
    own = {name: given.pop(name) for name in ("metadata", "resume", "subject") if name in given}
    return AgentTask(
        lease=Lease(f"message {number}", fence, 1, "worker"),
        content=content,
        memory_key=f"default/thread/{thread}",
        memory_fence=(number, fence),
        drain=drain or Drain(),
        given=RunInput(**given),
        **own,
    )


async def result_of(agent: LangGraphAgent, task: AgentTask) -> FinalResult:
    async with aclosing(agent.run(task)) as parts:
        async for part in parts:
            if isinstance(part, FinalResult):
                return part
    raise AssertionError("there was no answer")


class Hearing:
    """A node that keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def node(self, state: MessagesState) -> dict[str, Any]:
        self.heard.append(state["messages"])
        return {"messages": [AIMessage(f"answer {len(self.heard)}")]}


def told(messages: list[AnyMessage]) -> list[tuple[str, object]]:
    return [(message.type, message.content) for message in messages]


# Messages


async def test_blocks_are_the_content_of_the_human_message(saver: Saver) -> None:
    hearing = Hearing()
    blocks = ({"type": "text", "text": "What is this?"}, {"type": "image", "url": "https://example.org/a.png"})
    await result_of(LangGraphAgent(graph_of(MessagesState, hearing.node), saver), task_of(blocks=blocks))
    (human,) = hearing.heard[0]
    assert (type(human), human.content, human.id) == (HumanMessage, list(blocks), "message 1")


async def test_the_clients_id_is_kept_in_the_memory(saver: Saver) -> None:
    hearing = Hearing()
    agent = LangGraphAgent(graph_of(MessagesState, hearing.node), saver)
    assert (await result_of(agent, task_of(message_id="mine"))).text == "answer 1"
    await result_of(agent, task_of(2))
    assert [message.id for message in hearing.heard[1]][::2] == ["mine", "message 2"]


FORMS: dict[str, Any] = {
    "roles": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    "types": [{"type": "system", "content": "Be kind."}, {"type": "human", "content": "Hi"}],
    "pairs": [["system", "Be kind."], ["user", "Hi"]],
    "mixed": [SystemMessage("Be kind.").model_dump(), "Hi"],
    "wire": [HumanMessage("Be kind.").model_copy(update={"id": "w"}).to_json(), {"role": "user", "content": "Hi"}],
}


@pytest.mark.parametrize("form", FORMS)
async def test_messages_may_have_each_form_that_langgraph_takes(saver: Saver, form: str) -> None:
    hearing = Hearing()
    agent = LangGraphAgent(graph_of(MessagesState, hearing.node), saver)
    assert (await result_of(agent, task_of(input={"messages": FORMS[form]}))).text == "answer 1"
    first, last = hearing.heard[0]
    assert (first.content, told([last]), last.id) == ("Be kind.", [("human", "Hi")], "message 1")


async def test_a_whole_conversation_is_the_memory_of_its_run(saver: Saver) -> None:
    """The answers in it are not shown again."""
    hearing = Hearing()
    agent = LangGraphAgent(graph_of(MessagesState, hearing.node), saver)
    turns = [
        {"role": "user", "content": "1?", "id": "a"},
        {"role": "assistant", "content": "1!"},
        {"role": "user", "content": "2?", "id": "c"},
    ]
    parts = []
    async with aclosing(agent.run(task_of(input={"messages": turns}))) as shown:
        parts = [part async for part in shown]
    assert told(hearing.heard[0]) == [("human", "1?"), ("ai", "1!"), ("human", "2?")]
    assert [message.id for message in hearing.heard[0]] == ["a", "message 1.1", "c"]
    assert [part.text if isinstance(part, FinalResult) else part.chunk for part in parts] == ["answer 1", "answer 1"]


async def test_messages_are_appended_on_a_thread(saver: Saver) -> None:
    hearing = Hearing()
    agent = LangGraphAgent(graph_of(MessagesState, hearing.node), saver)
    await result_of(agent, task_of())
    await result_of(agent, task_of(2, input={"messages": [["system", "Be kind."], ["user", "Hi"]]}))
    assert told(hearing.heard[1]) == [("human", "Hello"), ("ai", "answer 1"), ("system", "Be kind."), ("human", "Hi")]


async def test_a_client_may_answer_the_tool_calls_itself(saver: Saver) -> None:
    heard: list[list[AnyMessage]] = []

    async def node(state: MessagesState) -> dict[str, Any]:
        heard.append(state["messages"])
        calls = [{"id": "c", "name": "look", "args": {}}] if len(heard) == 1 else []
        return {"messages": [AIMessage("" if calls else "It rains.", tool_calls=calls)]}

    agent = LangGraphAgent(graph_of(MessagesState, node), saver)
    await result_of(agent, task_of())
    given = {"messages": [{"role": "tool", "content": "rain", "tool_call_id": "c"}]}
    assert (await result_of(agent, task_of(2, input=given))).text == "It rains."
    assert told(heard[1])[2:] == [("tool", "rain")]
    assert isinstance(heard[1][-1], ToolMessage)


# Any state


class Question(TypedDict):
    """A state without messages."""

    question: str
    steps: Annotated[list[str], operator.add]
    answer: str


class Steps:
    """first → second, on a state without messages; `at` asks for the drain while it runs."""

    def __init__(self, at: str | None = None) -> None:
        self.at = at
        self.drain = Drain()
        self.runs: list[str] = []

    def node(self, name: str) -> Any:
        async def run(state: Question) -> dict[str, Any]:
            self.runs.append(name)
            if self.at == name:
                self.drain.request()
            return {"steps": [name], "answer": f"{state['question']} after {len(state['steps'])}"}

        return run

    def graph(self) -> Any:
        return graph_of(Question, self.node("first"), self.node("second"))


async def test_a_graph_of_any_state_runs(saver: Saver) -> None:
    steps = Steps()
    agent = LangGraphAgent(steps.graph(), saver)
    result = await result_of(agent, task_of(input={"question": "Why"}))
    assert steps.runs == ["first", "second"]
    assert result.output == '{"question": "Why", "steps": ["first", "second"], "answer": "Why after 1"}'


async def test_a_graph_of_any_state_goes_on_after_its_last_finished_step(saver: Saver) -> None:
    steps = Steps(at="first")
    agent = LangGraphAgent(steps.graph(), saver)
    with pytest.raises(AgentDrained):
        await result_of(agent, task_of(input={"question": "Why"}, drain=steps.drain))
    steps.at = None
    result = await result_of(agent, task_of(fence=2, input={"question": "Why"}))
    assert steps.runs == ["first", "second"]
    assert '"steps": ["first", "second"]' in str(result.output)
    await result_of(agent, task_of(2, input={"question": "How"}))
    assert steps.runs == ["first", "second"] * 2, "the next message is a new turn"


async def test_a_turn_without_messages_shows_its_finished_steps_again(saver: Saver) -> None:
    class Topic(MessagesState):
        topic: str

    drain = Drain()

    async def first(state: Topic) -> dict[str, Any]:
        drain.request()
        return {"messages": [AIMessage(f"About {state['topic']}")]}

    agent = LangGraphAgent(graph_of(Topic, first, lambda _: {}), saver)
    for thread, before in (("new", ()), ("old", ("Hello",))):
        for number, content in enumerate(before, 1):
            await result_of(agent, task_of(number, thread=thread, content=content, input={"topic": content}))
        given: dict[str, Any] = {"thread": thread, "input": {"topic": "rain"}}
        drain = Drain()
        with pytest.raises(AgentDrained):
            await result_of(agent, task_of(5, drain=drain, **given))
        assert (await result_of(agent, task_of(5, fence=2, **given))).text == "About rain"


async def test_states_of_classes_are_read(saver: Saver) -> None:
    class When(BaseModel):
        at: datetime
        messages: list[AnyMessage] = []

    heard: list[When] = []

    async def node(state: When) -> dict[str, Any]:
        heard.append(state)
        return {"messages": [AIMessage("Noted.")]}

    agent = LangGraphAgent(graph_of(When, node), saver)
    given = {"at": "2026-01-02T03:04:05Z", "messages": [["user", "Hi"]]}
    result = await result_of(agent, task_of(input=given))
    assert (result.text, heard[0].at.year) == ("Noted.", 2026)


# What does not fit


async def refused(agent: LangGraphAgent, task: AgentTask) -> tuple[str | None, str]:
    with pytest.raises(InvalidInput) as error:
        await result_of(agent, task)
    return error.value.field, error.value.code


@dataclass
class Context:
    """The values that the nodes read."""

    user: str
    since: datetime | None = None


async def test_what_does_not_fit_is_refused_with_its_field(saver: Saver) -> None:
    steps = Steps()
    agent = LangGraphAgent(steps.graph(), saver)
    assert await refused(agent, task_of(input={"question": 3})) == ("input.question", "invalid_input")
    assert await refused(agent, task_of(input={"other": 3})) == ("input.other", "invalid_input")
    assert await refused(agent, task_of()) == ("message", "invalid_input")
    assert await refused(agent, task_of(input={"question": ""}, context={"a": 1})) == ("context", "invalid_input")
    hearing = LangGraphAgent(graph_of(MessagesState, Hearing().node, context_schema=Context), saver)
    assert await refused(hearing, task_of(context={"user": 3})) == ("context.user", "invalid_input")
    assert await refused(hearing, task_of(context={})) == ("context.user", "invalid_input")
    assert await refused(hearing, task_of(context={"user": "a", "since": "soon"})) == ("context.since", "invalid_input")
    unreadable = {"messages": [{"role": "user", "content": "a"}, {"role": "nobody", "content": "b"}]}
    assert await refused(hearing, task_of(input=unreadable)) == ("input.messages.1.role", "invalid_input")
    without_content = {"messages": [{"role": "user"}]}
    assert await refused(hearing, task_of(input=without_content)) == ("input.messages.0", "invalid_input")
    assert steps.runs == []


# Context and config


async def test_nodes_read_the_context_in_its_class(saver: Saver) -> None:
    found: list[Context] = []

    async def node(_: MessagesState, runtime: Runtime[Context]) -> dict[str, Any]:
        found.append(runtime.context)
        return {"messages": [AIMessage("x")]}

    agent = LangGraphAgent(graph_of(MessagesState, node, context_schema=Context), saver)
    await result_of(agent, task_of(context={"user": "ann", "since": "2026-01-02T03:04:05Z"}))
    await result_of(agent, task_of(2))
    assert isinstance(found[0], Context)
    assert isinstance(found[0].since, datetime)
    assert found[1] is None


async def test_nodes_see_the_config_and_the_metadata_and_ours_wins(saver: Saver) -> None:
    seen: list[RunnableConfig] = []

    async def node(_: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        seen.append(config)
        return {"messages": [AIMessage("x")]}

    agent = LangGraphAgent(graph_of(MessagesState, node), saver)
    keys = {
        "model": "small",
        "thread_id": "other",
        "run_id": "other",
        "subject": "other",
        "checkpoint_id": "x",
        "__attempt_fence": 9,
    }
    given: dict[str, Any] = {
        "config": RunConfig(configurable=keys, tags=("a", "b"), recursion_limit=7),
        "metadata": {"customer": 42, "run_id": "other", "lc_source": "summarization"},
    }
    assert (await result_of(agent, task_of(**given))).text == "x"
    (config,) = seen
    found = config["configurable"]
    assert [found[name] for name in ("model", "thread_id", "run_id")] == ["small", "default/thread/t", "message 1"]
    assert "subject" not in found
    assert (config["recursion_limit"], {"a", "b"} <= set(config["tags"])) == (7, True)
    assert config["metadata"]["customer"] == 42
    assert "lc_source" not in config["metadata"]
    assert (await result_of(agent, task_of(2, **given, subject="ann"))).text == "x", "the next message is a new turn"
    assert seen[1]["configurable"]["subject"] == "ann"


async def test_an_entrypoint_takes_a_text_or_an_object_in_its_class(saver: Saver) -> None:
    class Order(BaseModel):
        item: str
        count: int = 1

    @entrypoint()
    async def shouts(text: str) -> str:
        return text.upper()

    @entrypoint()
    async def orders(order: Order) -> dict[str, Any]:
        return {"bought": f"{order.count} {order.item}"}

    agent = LangGraphAgent(shouts, saver)
    assert await result_of(agent, task_of()) == FinalResult("HELLO")
    assert await refused(agent, task_of(2, blocks=({"type": "text", "text": "a"},))) == ("message", "invalid_input")
    agent = LangGraphAgent(orders, saver)
    result = await result_of(agent, task_of(3, input={"item": "cup"}))
    assert result.output == result.text == '{"bought": "1 cup"}'
    assert await refused(agent, task_of(4, input={"count": 2})) == ("input.item", "invalid_input")


# Questions and continued runs of the functional API


async def test_a_graph_of_any_state_asks_and_goes_on_with_the_answer(saver: Saver) -> None:
    runs: list[str] = []

    async def first(state: Question) -> dict[str, Any]:
        runs.append("first")
        return {"steps": ["first"]}

    async def asks(state: Question) -> dict[str, Any]:
        return {"answer": interrupt(state["question"])}

    agent = LangGraphAgent(graph_of(Question, first, asks), saver)
    with pytest.raises(AgentInterrupted) as asked:
        await result_of(agent, task_of(input={"question": "Sure?"}))
    (question,) = json.loads(asked.value.interrupts)
    assert question["value"] == "Sure?"
    answered = task_of(fence=2, input={"question": "Sure?"}, resume={question["id"]: "yes"})
    result = await result_of(agent, answered)
    assert (runs, json.loads(result.output or "")["answer"]) == (["first"], "yes")


async def test_an_entrypoint_goes_on_behind_its_finished_tasks(saver: Saver) -> None:
    runs: list[str] = []

    @task
    async def works(name: str) -> str:
        runs.append(name)
        return name.upper()

    @entrypoint()
    async def asks(given: dict[str, Any], *, previous: Any = None) -> dict[str, Any]:
        done = await works(given["name"])
        return {"done": done, "answer": interrupt("Sure?"), "previous": previous}

    agent = LangGraphAgent(asks, saver)
    with pytest.raises(AgentInterrupted) as asked:
        await result_of(agent, task_of(input={"name": "a"}))
    (question,) = json.loads(asked.value.interrupts)
    result = await result_of(agent, task_of(fence=2, input={"name": "a"}, resume={question["id"]: "yes"}))
    assert json.loads(result.output or "") == {"done": "A", "answer": "yes", "previous": None}
    assert runs == ["a"]
    with pytest.raises(AgentInterrupted):
        await result_of(agent, task_of(2, input={"name": "b"}))
    assert runs == ["a", "b"], "the next message is a new turn"
