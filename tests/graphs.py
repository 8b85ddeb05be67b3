"""LangGraph graphs that tests run as agents, by `AGENTS=name=tests.graphs:attribute`.

They are steered and watched through `tests.graph_control.GraphControl`.
"""

import asyncio
import dataclasses
import operator
import os
import time
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import typing_extensions
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import WithJsonSchema

from tests.graph_control import GraphControl

POLL_SECONDS = 0.01
HOLD_DEADLINE_SECONDS = 60.0
FLOOD_CHUNK = "0123456789abcdef" * 256
FLOOD_CHUNKS = 1_000

Update = dict[str, list[AIMessage]]
Graph = CompiledStateGraph[Any, Any, Any, Any]


async def _hold(control: GraphControl, node: str) -> None:
    async with asyncio.timeout(HOLD_DEADLINE_SECONDS):
        while control.held(node):
            control.wait_begins(node)
            await asyncio.sleep(POLL_SECONDS)


def _block(control: GraphControl, node: str, deadline: float = HOLD_DEADLINE_SECONDS) -> None:
    end = time.monotonic() + deadline
    while control.held(node) and time.monotonic() < end:
        control.wait_begins(node)
        time.sleep(POLL_SECONDS)


def _heard(state: MessagesState) -> str:
    """The human turns that the agent remembers."""
    return " | ".join(m.text for m in state["messages"] if isinstance(m, HumanMessage))


async def _first(state: MessagesState) -> Update:
    control = GraphControl.of_environment()
    control.record("first")
    await _hold(control, "first")
    return {"messages": [AIMessage("Step one. ")]}


async def _second(state: MessagesState) -> Update:
    control = GraphControl.of_environment()
    control.record("second")
    await _hold(control, "second")
    if control.crash_is_due("second"):
        os._exit(9)
    return {"messages": [AIMessage(f"Heard: {_heard(state)}")]}


def _blocks(state: MessagesState) -> Update:
    control = GraphControl.of_environment()
    control.record("blocks")
    _block(control, "blocks")
    return {"messages": [AIMessage("Unblocked.")]}


async def _stalls(state: MessagesState) -> Update:
    """Blocks the event loop, as no async function should."""
    control = GraphControl.of_environment()
    control.record("stalls")
    _block(control, "stalls")
    return {"messages": [AIMessage("Unblocked.")]}


def _raises(state: MessagesState) -> Update:
    GraphControl.of_environment().record("raises")
    raise ValueError(f"this graph cannot: {state['messages'][-1].text}")


def _asks(state: MessagesState) -> Update:
    GraphControl.of_environment().record("asks")
    return {"messages": [AIMessage(str(interrupt({"question": "May I?"})))]}


def _flaky(state: MessagesState) -> Update:
    """Raises once if it is to crash, and says where."""
    control = GraphControl.of_environment()
    control.record("flaky")
    if control.crash_is_due("flaky"):
        raise ValueError(f"request {os.urandom(8).hex()} broke")
    return {"messages": [AIMessage("It works.")]}


async def _reports(state: MessagesState) -> Update:
    """Return as many letters as the message says, of which JSON needs six bytes each."""
    return {"messages": [AIMessage("\u00e9" * int(state["messages"][-1].text))]}


def _chain(*nodes: tuple[str, Any]) -> Graph:
    builder = StateGraph(MessagesState)
    for (name, node), before in zip(nodes, [START, *(name for name, _ in nodes)], strict=False):
        builder.add_node(name, node)
        builder.add_edge(before, name)
    builder.add_edge(nodes[-1][0], END)
    return builder.compile()


steps = _chain(("first", _first), ("second", _second))
blocking = _chain(("blocks", _blocks))
stalling = _chain(("stalls", _stalls))
failing = _chain(("raises", _raises))
asking = _chain(("asks", _asks))
approving = _chain(("first", _first), ("asks", _asks), ("second", _second))
flaky = _chain(("first", _first), ("flaky", _flaky))
reports = _chain(("reports", _reports))


def _add(a: int, b: int) -> int:
    """Add two numbers."""
    GraphControl.of_environment().record("add")
    get_stream_writer()({"adding": [a, b]})
    return a + b


def tools() -> Graph:
    """An agent with a tool, on the model that OPENAI_BASE_URL names."""
    from langchain.agents import create_agent  # seconds, for those who want it
    from langchain.chat_models import init_chat_model

    return create_agent(init_chat_model("openai:gpt-4", max_retries=0, stream_usage=True), tools=[_add])


def approved_tools() -> Graph:
    """Return the agent of `tools`, which asks before it calls its tool."""
    from langchain.agents import create_agent  # seconds, for those who want it
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain.chat_models import init_chat_model

    asking = HumanInTheLoopMiddleware(interrupt_on={"_add": True})
    model = init_chat_model("openai:gpt-4", max_retries=0, stream_usage=True)
    return create_agent(model, tools=[_add], middleware=[asking])


def nested() -> Graph:
    """A graph whose middle node is the agent of `tools`."""

    async def before(state: MessagesState) -> dict[str, Any]:
        GraphControl.of_environment().record("before")
        return {}

    return _chain(("before", before), ("inner", tools()))


async def made(config: dict[str, Any]) -> StateGraph[Any, Any, Any, Any]:
    """An async factory that takes a config and gives a graph not yet compiled."""
    await asyncio.sleep(0)
    builder = StateGraph(MessagesState)
    builder.add_node("first", _first)
    builder.add_edge(START, "first")
    return builder


class Question(typing_extensions.TypedDict, total=False):
    """A state without messages."""

    question: str
    steps: Annotated[list[str], operator.add]
    answer: str


async def _begins(state: Question) -> dict[str, Any]:
    GraphControl.of_environment().record("begins")
    return {"steps": ["begins"]}


async def _ends(state: Question) -> dict[str, Any]:
    control = GraphControl.of_environment()
    control.record("ends")
    if control.crash_is_due("ends"):
        os._exit(9)
    return {"steps": ["ends"], "answer": state["question"].upper()}


def _any_state() -> Graph:
    graph = StateGraph(Question)
    graph.add_node("begins", _begins)
    graph.add_node("ends", _ends)
    graph.add_edge(START, "begins")
    graph.add_edge("begins", "ends")
    return graph.compile()


any_state = _any_state()


class PlainState(typing.TypedDict):
    """A typed dict as many programs have it. Pydantic wants `typing_extensions.TypedDict` before Python 3.12."""

    messages: Annotated[list[AnyMessage], add_messages]
    anything: object


async def _answer_plainly(state: PlainState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"Heard: {state['messages'][-1].text}")]}


_plain = StateGraph(PlainState)
_plain.add_node("answer", _answer_plainly)
_plain.add_edge(START, "answer")
plain_state = _plain.compile()

not_a_graph: dict[str, list[str]] = {"messages": []}


class FloodModel(BaseChatModel):
    """Says 4 MB in 1,000 pieces, as fast as they are taken, and then waits if the test holds `flood`."""

    @property
    def _llm_type(self) -> str:
        return "flood"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(FLOOD_CHUNKS):
            yield ChatGenerationChunk(message=AIMessageChunk(content=FLOOD_CHUNK))
        await _hold(GraphControl.of_environment(), "flood")


def flood() -> Graph:
    """An agent with a great deal to say."""
    from langchain.agents import create_agent

    return create_agent(FloodModel(), tools=[])


class _Items(MessagesState, total=False):
    items: Annotated[list[str], operator.add]


async def _lists(state: MessagesState) -> dict[str, Any]:
    """Writes what its reducer refuses for as long as `bug` is held."""
    is_broken = GraphControl.of_environment().held("bug")
    return {"messages": [AIMessage(f"Heard: {_heard(state)}")], "items": 5 if is_broken else ["x"]}


def _lists_graph() -> Graph:
    graph = StateGraph(_Items)
    graph.add_node("lists", _lists)
    graph.add_edge(START, "lists")
    graph.add_edge("lists", END)
    return graph.compile()


lists = _lists_graph()


@dataclasses.dataclass
class Asker:
    """The context of a run: who asks."""

    name: str
    level: int = 1


async def _greet(state: MessagesState, runtime: Runtime[Asker]) -> Update:
    """Tell what the run was given."""
    asker, size, message = runtime.context, get_config()["configurable"].get("size"), state["messages"][-1]
    return {"messages": [AIMessage(f"{asker.name}/{asker.level} {size} {message.id}: {message.content}")]}


def _greets() -> Graph:
    """Greets whoever asks."""
    graph = StateGraph(MessagesState, context_schema=Asker)
    graph.add_node("greet", _greet)
    graph.add_edge(START, "greet")
    return graph.compile()


greets = _greets()


asks_inside = _chain(("inner", approving))


class _Odd(typing_extensions.TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    found: object
    asker: object


async def _odd(state: _Odd) -> dict[str, Any]:
    """Writes values that JSON does not have."""
    found = {"set": {"b", "a"}, "bytes": b"\xff", "nan": float("nan"), 3: ("a", 1), "surrogate": "\ud800"}
    return {"found": found, "asker": Asker("Ann"), "messages": [AIMessage("Done.")]}


def _odd_graph() -> Graph:
    graph = StateGraph(_Odd)
    graph.add_node("odd", _odd)
    graph.add_edge(START, "odd")
    return graph.compile()


odd = _odd_graph()


async def slow_to_make(config: dict[str, Any]) -> Graph:
    """A factory that waits while `make` is held, and fails once if it is to crash."""
    control = GraphControl.of_environment()
    await _hold(control, "make")
    if control.crash_is_due("make"):
        raise ValueError(f"no graph for {os.environ['OPENAI_API_KEY']}")
    return steps


async def plain_function(text: str) -> str:
    """An agent that keeps no state."""
    return text


class Patterned(typing_extensions.TypedDict):
    """An input whose pattern only Python reads."""

    text: Annotated[str, WithJsonSchema({"type": "string", "pattern": r"(?P<letter>a)(?P=letter)"})]


async def badly_described(given: Patterned) -> str:
    """Answer; the description cannot be stored as it is."""
    return given["text"]


badly_described.__doc__ = "Lone \ud800 and \x00."


def _both() -> Graph:
    """Two nodes at a time."""
    graph = StateGraph(MessagesState)
    for name in ("left", "right"):
        graph.add_node(name, _first)
        graph.add_edge(START, name)
    return graph.compile()


both = _both()
