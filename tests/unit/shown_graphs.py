"""Graphs whose models say what they are told to, and what is shown of their runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from app.agents.base import AgentTask, Drain, FinalResult
from app.agents.langgraph import LangGraphAgent
from app.models.attempts import Lease
from app.models.inputs import RunInput, ShownEvent
from app.models.parts import Part

Pieces = Sequence[Any]


class Model(BaseChatModel):
    """Says what `says` returns for the conversation: pieces, errors to raise, events to wait for."""

    says: Callable[[list[BaseMessage]], Pieces]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.says(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for piece in self.says(messages):
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            message = piece if isinstance(piece, AIMessageChunk) else AIMessageChunk(content=piece)
            yield ChatGenerationChunk(message=message)


def saying(*pieces: Any) -> Model:
    return Model(says=lambda _: pieces)


def taking_turns(*turns: Pieces) -> Model:
    """A model that says the next of these with each call."""
    left = iter(turns)
    return Model(says=lambda _: next(left))


def calls(model: BaseChatModel) -> Any:
    """A node that adds the model's message to the conversation."""

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return node


def calls_in_a_thread(model: BaseChatModel) -> Any:
    """The same as a synchronous node."""
    return lambda state: {"messages": [model.invoke(state["messages"])]}


def asks_for_itself(model: BaseChatModel) -> Any:
    """A node that keeps nothing of what the model says."""

    async def node(state: MessagesState) -> dict[str, Any]:
        await model.ainvoke(state["messages"])
        return {}

    return node


def chain(schema: Any = MessagesState, /, **nodes: Any) -> Any:
    graph = StateGraph(schema)
    names = list(nodes)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph.compile()


def beside(**nodes: Any) -> Any:
    graph = StateGraph(MessagesState)
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph.compile()


class Shown:
    """Return the parts of one run. `after` is called with each part, before the next one is asked for."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.result = FinalResult("")

    async def collect(
        self,
        agent: LangGraphAgent,
        number: int = 1,
        after: Callable[[Part], None] | None = None,
        events: Sequence[ShownEvent] = (),
        fence: int = 1,
    ) -> "Shown":
        task = AgentTask(
            lease=Lease(f"message {number}", fence, fence, "worker"),
            content=f"question {number}",
            memory_key="thread",
            memory_fence=(number, fence),
            drain=Drain(),
            given=RunInput(events=tuple(events)),
        )
        async with aclosing(agent.run(task)) as parts:
            async for part in parts:
                if isinstance(part, FinalResult):
                    self.result = part
                else:
                    self.parts.append(part)
                    if after is not None:
                        after(part)
        return self

    def of(self, kind: str) -> list[Any]:
        """The chunks of this type."""
        return [part.chunk for part in self.parts if part.type == kind]

    @property
    def left(self) -> str:
        """The content of a reader who follows `discard`."""
        kept: list[Part] = []
        for part in self.parts:
            if part.type == "discard":
                kept = [each for each in kept if each.message != part.message]
            elif part.type == "content":
                kept.append(part)
        return "".join(str(part.chunk) for part in kept)


class Memory(InMemorySaver):
    """A saver that caches nothing."""

    def drop_cached(self, memory_key: str) -> None:
        """Do nothing."""


def agent_of(graph: Any) -> LangGraphAgent:
    return LangGraphAgent(graph, Memory())


async def shown_by(graph: Any, *events: ShownEvent) -> Shown:
    """Return the parts of a run, and check that their content is its result."""
    shown = await Shown().collect(agent_of(graph), events=events)
    assert shown.left == shown.result.text
    return shown
