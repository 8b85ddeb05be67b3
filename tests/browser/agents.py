"""Agents for chat pages: they call a tool, ask before they act, think, or write for a while."""

import asyncio
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

Update = dict[str, list[Any]]

WORDS = 60
PAUSE_SECONDS = 0.1
WITHOUT_END = "Write on"
"""The message whose answer ends by a stop alone, however long a page takes to press the button."""

CALL = {"id": "call_1", "name": "search", "args": {"query": "capital of France"}}
REQUEST = {
    "action_request": {"action": "delete_files", "args": {"folder": "/reports"}},
    "config": {"allow_ignore": True, "allow_respond": True, "allow_edit": False, "allow_accept": True},
    "description": "The agent wants to delete a folder.",
}
"""A question in the form that pages for approvals know."""


def call(_: MessagesState) -> Update:
    """Call the tool."""
    return {"messages": [AIMessage("Let me look.", tool_calls=[CALL])]}


def search(_: MessagesState) -> Update:
    """Return the tool's result."""
    return {"messages": [ToolMessage('{"capital": "Paris"}', tool_call_id=CALL["id"], name="search")]}


def tell(_: MessagesState) -> Update:
    """Answer with the result."""
    return {"messages": [AIMessage("It is **Paris**.")]}


def ask(_: MessagesState) -> Update:
    """Ask a human, and tell the answer."""
    [answer] = interrupt([REQUEST])
    return {"messages": [AIMessage(f"The human said: {answer['type']}.")]}


def think(_: MessagesState) -> Update:
    """Answer with a text, and with the thoughts before it."""
    return {"messages": [AIMessage([{"type": "reasoning", "reasoning": "Easy."}, {"type": "text", "text": "Paris."}])]}


async def write(state: MessagesState) -> Update:
    """Write an answer slowly, by one step after the other, of `WORDS` words or without an end."""
    said = sum(isinstance(message, AIMessage) for message in _turn(state))
    get_stream_writer()({"written": said})
    await asyncio.sleep(PAUSE_SECONDS)
    return {"messages": [AIMessage(f"word{said}")]}


def _turn(state: MessagesState) -> list[Any]:
    """Return the messages since the last one of the human."""
    messages = state["messages"]
    return messages[_last_of_human(state) + 1 :]


def _last_of_human(state: MessagesState) -> int:
    return max(at for at, message in enumerate(state["messages"]) if isinstance(message, HumanMessage))


def _goes_on(state: MessagesState) -> str:
    asked = state["messages"][_last_of_human(state)].text
    return "write" if asked == WITHOUT_END or len(_turn(state)) < WORDS else END


def _chain(*nodes: Any) -> Any:
    builder = StateGraph(MessagesState)
    before = START
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(before, node.__name__)
        before = node.__name__
    builder.add_edge(before, END)
    return builder.compile()


tools = _chain(call, search, tell)
asks = _chain(ask)
thinks = _chain(think)

_writer = StateGraph(MessagesState)
_writer.add_node("write", write)
_writer.add_edge(START, "write")
_writer.add_conditional_edges("write", _goes_on, ["write", END])
writes = _writer.compile()
