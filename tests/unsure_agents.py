"""Agents whose words may not count: they fail behind a text, or ask a question behind it."""

from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from tests.graph_control import GraphControl

Update = dict[str, list[Any]]


async def _said(text: str) -> AIMessage:
    """Let a model stream a text."""
    return await GenericFakeChatModel(messages=iter([AIMessage(text)])).ainvoke("Go on.")


async def plans(_: MessagesState) -> Update:
    """Say something that counts."""
    return {"messages": [await _said("A plan.")]}


async def breaks(_: MessagesState) -> Update:
    """Answer, and fail behind the answer if it is to."""
    answer = await _said("It is done.")
    if GraphControl.of_environment().crash_is_due("breaks"):
        raise ValueError("it broke")
    return {"messages": [answer]}


async def asks(_: MessagesState) -> Update:
    """Say something, ask, and answer with the human's word."""
    await _said("Shall I?")
    return {"messages": [AIMessage(f"Answered: {interrupt('Really?')}")]}


def _chain(node: Any) -> Any:
    builder = StateGraph(MessagesState)
    nodes: dict[str, Any] = {"plans": plans, "then": node}
    for name, each in nodes.items():
        builder.add_node(name, each)
    return builder.add_edge(START, "plans").add_edge("plans", "then").add_edge("then", END).compile()


breaking = _chain(breaks)
asking = _chain(asks)
