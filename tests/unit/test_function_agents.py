"""Agents that are plain functions: which functions are, what they are given, and what becomes of their answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from app.agents.base import AgentTask, Drain, FinalResult
from app.agents.functions import FunctionAgent, is_answering
from app.agents.memory import LazyMemory
from app.models.attempts import Lease
from app.models.parts import Part


async def shout(text: str) -> str:
    return text.upper()


async def words(text: str) -> AsyncGenerator[str]:
    for word in text.split():
        yield word


async def graph(_: dict[str, Any]) -> object:
    return object()


def synchronous(text: str) -> str:
    return text


async def parts_of(answer: Callable[..., Any]) -> list[Part | FinalResult]:
    task = AgentTask(Lease("message 1", 1, 1, "worker"), "two words", "memory", (1, 1), Drain())
    async with aclosing(FunctionAgent(answer).run(task)) as parts:
        return [part async for part in parts]


@pytest.mark.parametrize(("found", "answers"), [(shout, True), (words, True), (graph, False), (synchronous, False)])
def test_a_function_answers_if_it_yields_or_says_that_it_returns_text(found: object, answers: bool) -> None:
    assert is_answering(found) is answers


async def test_what_a_function_returns_is_one_piece_and_the_whole() -> None:
    assert await parts_of(shout) == [Part("content", "TWO WORDS"), FinalResult("TWO WORDS")]


async def test_what_a_generator_yields_are_pieces_and_together_the_whole() -> None:
    assert await parts_of(words) == [Part("content", "two"), Part("content", "words"), FinalResult("twowords")]


async def test_a_character_in_two_pieces_is_put_together() -> None:
    async def cut(_: str) -> AsyncGenerator[str]:
        for piece in ("Hi ", "\ud83d", "\ude00", "!", "\ud83d"):
            yield piece

    parts = await parts_of(cut)
    assert parts[-1] == FinalResult("Hi \U0001f600!?")
    assert "".join(str(part.chunk) for part in parts if isinstance(part, Part)) == "Hi \U0001f600!?"


async def test_a_function_that_asks_for_the_id_of_the_message_gets_it() -> None:
    async def whose(_: str, *, message_id: str) -> str:
        return message_id

    assert (await parts_of(whose))[-1] == FinalResult("message 1")


async def test_an_answer_without_text_has_no_pieces() -> None:
    async def silent(_: str) -> str:
        return ""

    assert await parts_of(silent) == [FinalResult("")]


async def test_an_answer_that_is_no_text_is_refused() -> None:
    async def numbers(_: str) -> AsyncGenerator[int]:
        yield 1

    with pytest.raises(TypeError, match="of the type `int`, expected `str`"):
        await parts_of(numbers)


async def test_a_generator_is_closed_when_its_run_is() -> None:
    closed = []

    async def endless(_: str) -> AsyncGenerator[str]:
        try:
            while True:
                yield "more"
        finally:
            closed.append(True)

    task = AgentTask(Lease("message 1", 1, 1, "worker"), "", "memory", (1, 1), Drain())
    async with aclosing(FunctionAgent(endless).run(task)) as parts:
        assert await anext(parts) == Part("content", "more")
    assert closed == [True]


class Noted:
    """A memory that notes what is forgotten."""

    def __init__(self) -> None:
        self.opened = 0
        self.forgotten: list[str] = []

    async def open(self) -> "Noted":
        self.opened += 1
        return self

    async def forget(self, memory_keys: list[str]) -> None:
        self.forgotten += memory_keys

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Any) -> None:
        self.forgotten += message_ids

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        self.forgotten.append(memory_key)


async def test_a_late_memory_is_opened_when_there_is_something_to_forget() -> None:
    noted = Noted()
    memory = LazyMemory(noted.open)
    await memory.forget([""])
    assert noted.opened == 0
    await memory.forget(["default/thread/t"])
    assert (noted.opened, noted.forgotten) == (1, ["default/thread/t"])
