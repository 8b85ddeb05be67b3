"""Agents that are plain functions: which functions are, what they are given, and what becomes of their answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from pydantic import BaseModel

from app.agents.base import AgentTask, Drain, FinalResult
from app.agents.functions import FunctionAgent, is_answering
from app.agents.memory import LazyMemory
from app.errors import InvalidInput, OutputTooLarge
from app.models.attempts import Lease
from app.models.inputs import RunConfig, RunInput
from app.models.parts import Part
from app.policy.agent_input import check_context, check_input, check_text


async def shout(text: str) -> str:
    return text.upper()


async def words(text: str) -> AsyncGenerator[str]:
    for word in text.split():
        yield word


async def graph(_: dict[str, Any]) -> object:
    return object()


def synchronous(text: str) -> str:
    return text


class Order(BaseModel):
    """The order of a client."""

    item: str
    count: int = 1


@dataclass
class Bill:
    """The price of an order."""

    total: int


async def takes_object(given: dict[str, Any]) -> str:
    return str(given)


async def returns_object(text: str) -> Bill | str:
    return Bill(3)


async def returns_graph(config: RunnableConfig) -> StateGraph[Any, Any, Any, Any]:
    raise NotImplementedError


async def parts_of(
    answer: Callable[..., Any], metadata: dict[str, Any] | None = None, **given: Any
) -> list[Part | FinalResult]:
    task = AgentTask(
        Lease("message 1", 1, 1, "worker"),
        "two words",
        "memory",
        (1, 1),
        Drain(),
        given=RunInput(**given),
        metadata=metadata or {},
        max_output_bytes=1_000,
    )
    async with aclosing(FunctionAgent(answer).run(task)) as parts:
        return [part async for part in parts]


ANSWERS = [
    (shout, True),
    (words, True),
    (takes_object, True),
    (returns_object, True),
    (returns_graph, False),
    (graph, False),
    (synchronous, False),
]


@pytest.mark.parametrize(("found", "answers"), ANSWERS)
def test_a_function_answers_if_it_yields_or_says_that_it_returns_data(found: object, answers: bool) -> None:
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


# What it is given


async def test_a_first_parameter_that_is_a_list_gets_blocks() -> None:
    async def count(blocks: list[dict[str, Any]]) -> str:
        return " ".join(block["type"] for block in blocks)

    blocks = ({"type": "text", "text": "a"}, {"type": "image", "url": "https://example.org/a.png"})
    assert (await parts_of(count, blocks=blocks))[-1] == FinalResult("text image")
    assert (await parts_of(count))[-1] == FinalResult("text"), "a text is one block"


async def test_a_text_function_takes_blocks_of_text_only() -> None:
    assert (await parts_of(shout, blocks=({"type": "text", "text": "two words"},)))[-1] == FinalResult("TWO WORDS")
    with pytest.raises(InvalidInput, match=r"message\.0: this agent takes text only") as error:
        await parts_of(shout, blocks=({"type": "image", "url": "x"},))
    assert error.value.field == "message.0"


async def test_an_input_comes_in_the_class_of_its_parameter() -> None:
    async def buys(order: Order) -> Bill:
        return Bill(total=order.count * 2)

    parts = await parts_of(buys, input={"item": "cup", "count": 3})
    assert parts == [Part("content", '{"total": 6}'), FinalResult('{"total": 6}', '{"total": 6}')]
    for given, field in (({"count": 3}, "input.item"), ({"item": 3}, "input.item"), ({"item": "a", "x": 1}, "input.x")):
        with pytest.raises(InvalidInput) as error:
            await parts_of(buys, input=given)
        assert error.value.field == field
    with pytest.raises(InvalidInput, match="message: this agent takes no text"):
        await parts_of(buys)


async def test_a_function_of_any_object_gets_a_text_as_messages() -> None:
    assert (await parts_of(takes_object))[-1] == FinalResult(
        str({"messages": [{"role": "user", "content": "two words"}]})
    )
    assert (await parts_of(takes_object, input={"a": 1}))[-1] == FinalResult("{'a': 1}")


async def test_a_function_gets_what_its_parameters_name() -> None:
    seen: list[Any] = []

    async def all_of_it(
        text: str,
        *,
        input: Order | None = None,
        context: Order | None = None,
        config: dict[str, Any],
        metadata: dict[str, Any],
    ) -> str:
        seen.append((text, input, context, config, metadata))
        return "x"

    config = RunConfig(configurable={"model": "small", "run_id": "other"}, tags=("a",))
    await parts_of(all_of_it, {"customer": 42}, context={"item": "c"}, config=config, input={"item": "i"})
    await parts_of(all_of_it)
    (text, given, context, found, metadata), without = seen
    assert (text, given, context, metadata) == ("two words", Order(item="i"), Order(item="c"), {"customer": 42})
    assert found["configurable"] == {"model": "small", "thread_id": "memory", "run_id": "message 1"}
    assert (found["tags"], found["metadata"]) == (["a"], {"customer": 42})
    assert (without[1:3], without[4]) == ((None, None), {})


async def test_what_a_function_does_not_take_is_refused_with_its_field() -> None:
    with pytest.raises(InvalidInput, match="input: this agent takes a text"):
        await parts_of(shout, input={"a": 1})
    with pytest.raises(InvalidInput, match="context: this agent takes no context"):
        await parts_of(shout, context={"a": 1})


def test_a_function_is_described_by_its_annotations() -> None:
    async def both(text: str, input: Order, context: Bill) -> Bill:
        """Say what it costs."""
        return context

    description = FunctionAgent(both).describe("mine")
    check_text(description)
    check_input(description, {"item": "cup"})
    check_context(description, {"total": 3})
    with pytest.raises(InvalidInput) as error:
        check_input(description, {"item": 3})
    assert error.value.field == "input.item"
    assert (description.name, description.description) == ("mine", "Say what it costs.")
    assert list(description.output_schema["properties"]) == ["total"]
    assert description.events == ()
    assert FunctionAgent(shout).describe("a").input_schema == {"type": "string"}


# What it returns


async def test_an_object_among_the_pieces_is_the_output() -> None:
    async def says(_: str) -> AsyncGenerator[object]:
        yield "Three"
        yield {"total": 3}
        yield "."

    assert (await parts_of(says))[-1] == FinalResult("Three.", '{"total": 3}')


async def test_a_large_output_of_a_function_is_refused() -> None:
    async def large(_: str) -> dict[str, Any]:
        return {"text": "x" * 1_000}

    with pytest.raises(OutputTooLarge):
        await parts_of(large)


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

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        return False

    async def measure(self, memory_keys: Any) -> list[int]:
        return [len(key) for key in memory_keys]


async def test_a_late_memory_is_opened_when_there_is_something_to_forget() -> None:
    noted = Noted()
    memory = LazyMemory(noted.open)
    await memory.forget([""])
    assert noted.opened == 0
    await memory.forget(["default/thread/t"])
    assert (noted.opened, noted.forgotten) == (1, ["default/thread/t"])
    assert await memory.measure(["a", "bc"]) == [1, 2]
