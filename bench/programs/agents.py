"""Agents for measurements. Serve one with `AGENTS=name=bench.programs.agents:attribute`."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph


class ClockModel(BaseChatModel):
    """A model whose tokens are times: nanoseconds of the monotonic clock.

    It sends `BENCH_TOKENS` tokens with pauses of `BENCH_PAUSE_SECONDS`. All processes of a host share this clock, so a
    reader can compute a token's age.
    """

    @property
    def _llm_type(self) -> str:
        return "clock"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        pause = float(os.environ.get("BENCH_PAUSE_SECONDS", "0"))
        for _ in range(int(os.environ.get("BENCH_TOKENS", "200"))):
            if pause:
                await asyncio.sleep(pause)
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{time.monotonic_ns()} "))


async def _say(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await ClockModel().ainvoke(state["messages"])]}


_clock = StateGraph(MessagesState)
_clock.add_node("say", _say)
_clock.add_edge(START, "say")
_clock.add_edge("say", END)
clock = _clock.compile()
