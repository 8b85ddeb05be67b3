"""Runs agents that are plain functions. They have no memory, and need no LangGraph."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from typing_extensions import override

from ..models.parts import Part
from ..policy.failures import note_node
from .base import Agent, AgentTask, FinalResult
from .joined_text import JoinedText, whole

MESSAGE_ID = "message_id"
"""The name of the parameter in which a function gets the message's id."""


def is_answering(found: object) -> bool:
    """Return whether a function answers messages itself; False if it makes a graph.

    Async generators answer. Coroutine functions answer if they are annotated to return `str`.
    """
    if inspect.isasyncgenfunction(found):
        return True
    return inspect.iscoroutinefunction(found) and inspect.signature(found).return_annotation in (str, "str")


class FunctionAgent(Agent):
    """Calls a function with the text of the message. Each attempt calls it from the beginning."""

    def __init__(self, answer: Callable[..., Any], description: str = "") -> None:
        self._description = description
        self._answer = answer
        self._streams = inspect.isasyncgenfunction(answer)
        self._name = str(getattr(answer, "__name__", type(answer).__name__))
        self._takes_id = MESSAGE_ID in inspect.signature(answer).parameters

    @override
    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        given = {MESSAGE_ID: task.message_id} if self._takes_id else {}
        try:
            answer = self._answer(task.content, **given)
            if not self._streams:
                text = whole(_text(await cast(Awaitable[object], answer)))
                if text:
                    yield Part("content", text)
                yield FinalResult(text)
                return
            pieces = []
            joined = JoinedText()
            async with aclosing(cast(AsyncGenerator[object], answer)) as answering:
                async for piece in answering:
                    text = joined.add(_text(piece))
                    pieces.append(text)
                    yield Part("content", text)
            if rest := joined.end():
                pieces.append(rest)
                yield Part("content", rest)
        except BaseException as error:
            note_node(error, self._name)
            raise
        yield FinalResult("".join(pieces))

    @override
    async def fence_off(self, task: AgentTask) -> None:
        pass  # a function has no memory


def _text(given: object) -> str:
    if not isinstance(given, str):
        is_graph = hasattr(given, "astream")
        hint = (
            " A function that yields a graph needs the decorator `contextlib.asynccontextmanager`." if is_graph else ""
        )
        raise TypeError(f"The agent answered with a value of the type `{type(given).__name__}`, expected `str`.{hint}")
    return given
