"""Agents that put what they are told wherever an agent can put something."""

from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict


class Kept(TypedDict):
    """The memory of the agent."""

    messages: Annotated[list[AnyMessage], add_messages]
    note: str


def use_tool(state: Kept, runtime: Runtime[Any]) -> dict[str, Any]:
    """Call a tool, keep an item, and remember a note."""
    text = state["messages"][-1].text
    assert runtime.store is not None
    runtime.store.put(("subjects", "ann"), text, {"text": text})
    get_stream_writer()({"custom": text})
    call = {"name": "echo", "args": {"text": text}, "id": "call", "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call]), ToolMessage(text, tool_call_id="call")], "note": text}


def say(state: Kept) -> dict[str, Any]:
    """Answer with what was asked."""
    if "fail" in state["note"]:
        raise RuntimeError(f"cannot work with {state['note']}")
    if "ask" in state["note"]:
        interrupt({"question": state["note"]})
    return {"messages": [AIMessage(f"You said {state['note']}.")]}


def _graph() -> Any:
    builder = StateGraph(Kept)
    builder.add_node("use_tool", use_tool)
    builder.add_node("say", say)
    builder.add_edge(START, "use_tool")
    builder.add_edge("use_tool", "say")
    builder.add_edge("say", END)
    return builder.compile()


graph = _graph()
