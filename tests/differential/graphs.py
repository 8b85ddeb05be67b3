"""Graphs that do the same on each run, for LangGraph's own server and for this one."""

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

from tests.graph_control import GraphControl

POLL_SECONDS = 0.01
HOLD_SECONDS = 30.0

Update = dict[str, Any]


class ScriptedModel(BaseChatModel):
    """Calls the tool `search` for a question about France, and otherwise says one sentence word by word."""

    calls_tools: bool = False

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _pieces(self, messages: Sequence[BaseMessage]) -> list[AIMessageChunk]:
        if self.calls_tools and not isinstance(messages[-1], ToolMessage):
            parts = ('{"query": ', '"France"}')
            begun = [{"name": "search", "args": "", "id": "call_1", "index": 0, "type": "tool_call_chunk"}]
            return [
                AIMessageChunk(content="", tool_call_chunks=begun),
                *(
                    AIMessageChunk(content="", tool_call_chunks=[{"name": None, "args": part, "id": None, "index": 0}])
                    for part in parts
                ),
            ]
        return [AIMessageChunk(content=word) for word in ("The ", "capital ", "is ", "Paris.")]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        first, *others = self._pieces(messages)
        whole = first
        for piece in others:
            whole += piece
        message = AIMessage(whole.content, tool_calls=whole.tool_calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> Any:
        for piece in self._pieces(messages):
            chunk = ChatGenerationChunk(message=piece)
            if run_manager is not None:
                await run_manager.on_llm_new_token(piece.text, chunk=chunk)
            yield chunk


def _chain(*nodes: tuple[str, Any], state: Any = MessagesState, context: Any = None) -> Any:
    builder = StateGraph(state, context_schema=context)
    for (name, node), before in zip(nodes, [START, *(name for name, _ in nodes)], strict=False):
        builder.add_node(name, node)
        builder.add_edge(before, name)
    builder.add_edge(nodes[-1][0], END)
    return builder.compile()


async def _model(state: MessagesState) -> Update:
    return {"messages": [await ScriptedModel().ainvoke(state["messages"])]}


async def _caller(state: MessagesState) -> Update:
    return {"messages": [await ScriptedModel(calls_tools=True).ainvoke(state["messages"])]}


@tool
def search(query: str) -> str:
    """Search for a text."""
    get_stream_writer()({"searching": query})
    return f"found {query}"


def _ask(state: MessagesState) -> Update:
    return {"messages": [AIMessage(f"You said: {interrupt({'question': 'Sure?'})}", id="answered")]}


def _asks(name: str) -> Any:
    def ask(state: "Notes") -> Update:
        return {"notes": [f"{name}: {interrupt({'ask': name})}"]}

    return ask


def _fail(state: MessagesState) -> Update:
    raise ValueError("broken")


async def _first(state: MessagesState) -> Update:
    await _held("first")
    return {"messages": [AIMessage("One.")]}


async def _second(state: MessagesState) -> Update:
    await _held("second")
    return {"messages": [AIMessage(f"Two after {len(state['messages'])}.")]}


async def _held(node: str) -> None:
    control = GraphControl.of_environment()
    async with asyncio.timeout(HOLD_SECONDS):
        while control.held(node):
            control.wait_begins(node)
            await asyncio.sleep(POLL_SECONDS)


def _report(state: MessagesState) -> Update:
    get_stream_writer()({"progress": 1})
    get_stream_writer()("half")
    return {"messages": [AIMessage("Reported.", id="reported")]}


class Notes(TypedDict, total=False):
    """A state without messages."""

    topic: str
    notes: Annotated[list[str], operator.add]


class Place(TypedDict, total=False):
    """The context of a run."""

    city: str


def _note(state: Notes, runtime: Runtime[Place]) -> Update:
    city = (runtime.context or {}).get("city", "nowhere")
    return {"notes": [f"{state.get('topic')} in {city}"]}


async def _keep(state: Notes, runtime: Runtime[Any]) -> Update:
    assert runtime.store is not None
    await runtime.store.aput(("notes", "kept"), "topic", {"text": state["topic"]})
    found = await runtime.store.aget(("notes", "kept"), "topic")
    return {"notes": [] if found is None else [found.value["text"]]}


def _asks_twice() -> Any:
    builder = StateGraph(Notes)
    for name in ("left", "right"):
        builder.add_node(name, _asks(name))
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile()


def _with_tools() -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("model", _caller)
    builder.add_node("tools", ToolNode([search]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges(
        "model", lambda state: "tools" if state["messages"][-1].tool_calls else END, ["tools", END]
    )
    builder.add_edge("tools", "model")
    return builder.compile()


chat = _chain(("model", _model))
tools = _with_tools()
asks = _chain(("model", _model), ("ask", _ask))
asks_twice = _asks_twice()
fails = _chain(("report", _report), ("fail", _fail))
steps = _chain(("first", _first), ("second", _second))
reports = _chain(("report", _report))
outer = _chain(("before", _report), ("inner", chat))
asks_inside = _chain(("inner", _chain(("ask", _ask))))
notes = _chain(("note", _note), state=Notes, context=Place)
keeps = _chain(("keep", _keep), state=Notes)

GRAPHS = (
    "chat", "tools", "asks", "asks_twice", "fails", "steps", "reports", "outer", "asks_inside", "notes", "keeps",
)  # fmt: skip
