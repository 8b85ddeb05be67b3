"""The agents of a chaos run: every answer says who made it and what it remembers, so that a history can be checked.

A message is answered by two nodes, a block of text each: `[node process/run|the human turns heard|0.1.2.…]`. The run is
a random name, so a node that ran twice leaves two different blocks. `RECITE` is answered by the whole memory as JSON.
"""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, AnyMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from tests.chaos.history import RECITE

PROCESS_VARIABLE = "CHAOS_PROCESS"
TOKEN_SECONDS = 0.01
FAIL = "fail"
"""A message that fails after its first node, whose answer the agent remembers."""


class Speaker(BaseChatModel):
    """Streams one node's block, token by token."""

    node: str
    length: int

    @property
    def _llm_type(self) -> str:
        return "speaker"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for token in self._tokens(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(content=token))
            await asyncio.sleep(TOKEN_SECONDS)

    def _tokens(self, messages: list[BaseMessage]) -> Iterator[str]:
        heard = [message.text for message in messages if isinstance(message, HumanMessage)]
        if heard[-1] == RECITE:
            yield json.dumps([[message.type, message.text] for message in messages])
            return
        yield f"[{self.node} {os.environ[PROCESS_VARIABLE]}/{uuid.uuid4().hex[:8]}|{','.join(heard)}|"
        for number in range(self.length):
            yield f"{number}."
        yield "]"


def _graph(length: int) -> CompiledStateGraph[Any, Any, Any, Any]:
    plan, answer = Speaker(node="plan", length=length), Speaker(node="answer", length=length)

    async def planning(state: MessagesState) -> dict[str, list[AnyMessage]]:
        if state["messages"][-1].text == RECITE:
            return {"messages": []}
        return {"messages": [await plan.ainvoke(state["messages"])]}

    async def answering(state: MessagesState) -> dict[str, list[AnyMessage]]:
        if any(message.text == FAIL for message in state["messages"]):
            raise ValueError("It fails, as it was asked to.")
        return {"messages": [await answer.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("planning", planning)
    builder.add_node("answering", answering)
    builder.add_edge(START, "planning")
    builder.add_edge("planning", "answering")
    builder.add_edge("answering", END)
    return builder.compile()


brief = _graph(5)
lengthy = _graph(60)

AGENTS = "brief=tests.chaos.agent:brief,lengthy=tests.chaos.agent:lengthy"
