"""Agents whose own code records spans, or tells what it knows of its trace."""

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from opentelemetry import trace


def _record() -> None:
    trace.get_tracer_provider().get_tracer("own").start_span("own").end()


async def inner(text: str) -> str:
    """Record a span, and one on a thread."""
    _record()
    await asyncio.to_thread(_record)
    return text


async def tells(text: str) -> str:
    """Answer with the current trace, and whether it is recorded."""
    span = trace.get_current_span()
    return f"{span.get_span_context().trace_id:032x} {span.is_recording()}"


async def _asynchronous(state: MessagesState) -> dict[str, Any]:
    _record()
    return {}


def _synchronous(state: MessagesState) -> dict[str, Any]:
    _record()
    return {"messages": [AIMessage("Done.")]}


def _graph() -> StateGraph[MessagesState]:
    builder = StateGraph(MessagesState)
    builder.add_node("asynchronous", _asynchronous)
    builder.add_node("synchronous", _synchronous)
    builder.add_edge(START, "asynchronous")
    builder.add_edge("asynchronous", "synchronous")
    builder.add_edge("synchronous", END)
    return builder


graph = _graph().compile()
