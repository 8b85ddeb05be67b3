"""One agent for each row of docs/reference/graphs.md, by the name in the row. Tests serve them by a langgraph.json."""

import operator
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send
from langgraph_sdk.runtime import ServerRuntime
from pydantic import BaseModel
from typing_extensions import TypedDict

from .graph_kinds_helper import shouted


def graph_of(state: Any, node: Any, **given: Any) -> Any:
    """A graph of one node."""
    graph: Any = StateGraph(state, **given)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


def said(text: object) -> dict[str, Any]:
    """The update of a node that answers."""
    return {"messages": [AIMessage(str(text))]}


def saying(text: object) -> Any:
    """A graph that answers with a text."""
    return graph_of(MessagesState, lambda _: said(text))


messages = graph_of(MessagesState, lambda state: said(shouted(state["messages"][-1].text)))


class Question(TypedDict):
    """A state without messages."""

    question: str
    answer: str


any_state = graph_of(Question, lambda state: {"answer": shouted(state["question"])})


class Form(BaseModel):
    """A state that is a model."""

    count: int
    doubled: int | None = None


pydantic_state = graph_of(Form, lambda state: {"doubled": state.count * 2})


@dataclass
class Sheet:
    """A state that is a data class."""

    count: int
    doubled: int | None = None


dataclass_state = graph_of(Sheet, lambda state: {"doubled": state.count * 2})


class Asked(TypedDict):
    """An input."""

    question: str


class Answered(TypedDict):
    """An output."""

    answer: str


schemas = graph_of(
    Question, lambda state: {"answer": shouted(state["question"])}, input_schema=Asked, output_schema=Answered
)


@dataclass
class Context:
    """A message's context."""

    user: str


def greets(_: MessagesState, runtime: Runtime[Context]) -> dict[str, Any]:
    """Answer with the context."""
    return said(f"Hello, {runtime.context.user}")


context = graph_of(MessagesState, greets, context_schema=Context)


@task
async def squared(number: int) -> int:
    """A task of the functional API."""
    return number**2


@entrypoint()
async def functional(given: dict[str, Any]) -> dict[str, Any]:
    """Square numbers side by side."""
    return {"squares": [await each for each in [squared(number) for number in given["numbers"]]]}


@entrypoint()
async def functional_text(text: str) -> str:
    """Take and return a text."""
    return shouted(text)


class Parts(TypedDict):
    """A state for branches side by side."""

    parts: list[str]
    done: Annotated[list[str], operator.add]


def _sends() -> Any:
    graph = StateGraph(Parts)
    graph.add_node("work", lambda part: {"done": [shouted(part["part"])]})
    graph.add_conditional_edges(
        START, lambda state: [Send("work", {"part": each}) for each in state["parts"]], ["work"]
    )
    return graph.compile()


send = _sends()


def _jumps(state: Question) -> Command[Any]:
    return Command(update={"answer": shouted(state["question"])}, goto=END)


def _commands() -> Any:
    graph = StateGraph(Question)
    graph.add_node("jumps", _jumps)
    graph.add_node("never", lambda _: {"answer": "never"})
    graph.add_edge(START, "jumps")
    return graph.compile()


command = _commands()


class Inner(TypedDict):
    """A state of a subgraph that shares no key with the graph around it."""

    word: str


_inner = graph_of(Inner, lambda state: {"word": shouted(state["word"])})


async def _calls(state: Question) -> dict[str, Any]:
    return {"answer": (await _inner.ainvoke({"word": state["question"]}))["word"]}


subgraph = graph_of(Question, _calls)
dict_messages = graph_of(MessagesState, lambda _: {"messages": [{"role": "assistant", "content": "A dictionary."}]})
pair_messages = graph_of(MessagesState, lambda _: {"messages": [("ai", "A pair.")]})


def factory() -> Any:
    """A factory without parameters."""
    return saying("made")


async def config_factory(config: RunnableConfig) -> Any:
    """A factory that takes the config."""
    return saying(config["configurable"].get("model"))


def runtime_factory(runtime: ServerRuntime[Any]) -> Any:
    """A factory that takes the runtime."""
    assert runtime.execution_runtime is not None
    return saying(runtime.execution_runtime.context)


@asynccontextmanager
async def context_manager(config: RunnableConfig) -> AsyncIterator[Any]:
    """A factory that opens something around its graph."""
    yield saying("open")


@contextmanager
def plain_context_manager() -> Iterator[Any]:
    """The same without `async`."""
    yield saying("open")


async def function(text: str, input: Form | None = None) -> Form | str:
    """A function that answers."""
    return shouted(text) if input is None else Form(count=input.count, doubled=input.count * 2)


async def generator(blocks: list[dict[str, Any]]) -> AsyncIterator[object]:
    """A function that answers piece by piece."""
    for block in blocks:
        yield block["type"]
    yield {"blocks": len(blocks)}


environment = graph_of(MessagesState, lambda _: said(os.environ.get("GRAPH_KINDS_NAME")))
