"""Graphs that tests of the dashboard run as agents, by `AGENTS=name=tests.dashboard.graphs:attribute`."""

import json
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt


def _asks(state: MessagesState) -> dict[str, Any]:
    """Ask what the message says, which is JSON, and say what was answered."""
    answer = interrupt(json.loads(state["messages"][-1].text))
    return {"messages": [AIMessage(f"You answered {json.dumps(answer)}")]}


def _fails(state: MessagesState) -> dict[str, Any]:
    """Fail with what the message says."""
    raise ValueError(state["messages"][-1].text)


def _graph(node: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    builder = StateGraph(MessagesState)
    builder.add_node("work", node)
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


def _calls(state: MessagesState) -> dict[str, Any]:
    """Call a tool with the text of the message, get it back, and answer with it. Fail if it says so."""
    text = state["messages"][-1].text
    call = {"name": "look_up", "args": {"text": text}, "id": "call-1", "type": "tool_call"}
    said = [AIMessage("", tool_calls=[call]), ToolMessage(f"Found {text}", tool_call_id="call-1")]
    if "fails" in text:
        raise TimeoutError("the tool did not answer")
    return {"messages": [*said, AIMessage(f"The answer is {text}")]}


asks = _graph(_asks)
fails = _graph(_fails)
calls = _graph(_calls)
