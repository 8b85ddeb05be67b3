"""Sizes of the agents' memory, on every engine."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from tests.contract.test_memory_growth import COPY, KEY, Saver, graph, place, turn

LONG = 20_000


async def test_an_unknown_conversation_has_no_bytes(saver: Saver) -> None:
    assert await saver.measure([]) == []
    assert await saver.measure([KEY, COPY]) == [0, 0]


async def test_what_is_remembered_is_counted(saver: Saver) -> None:
    await turn(saver, 1)
    (first,) = await saver.measure([KEY])
    assert first > len("question 1answer to question 1")
    await turn(saver, 2)
    (second,) = await saver.measure([KEY])
    assert second > first


async def test_long_texts_are_counted_as_they_are(saver: Saver) -> None:
    """An engine may compress what it stores. The text is stored as a message, and as what its task wrote."""
    await turn(saver, 1)
    (before,) = await saver.measure([KEY])

    def long(_: Any) -> dict[str, Any]:
        return {"messages": [AIMessage("x" * LONG)]}

    await turn(saver, 2, graph(long))
    (after,) = await saver.measure([KEY])
    assert 2 * LONG <= after - before < 3 * LONG


async def test_each_key_has_its_own_figure(saver: Saver) -> None:
    for number in range(1, 70):  # more rows than one script measures
        await turn(saver, number)
    found = await saver.aget_tuple(place())
    assert await saver.copy_until(KEY, found.checkpoint["id"], COPY)
    whole, unknown, copied = await saver.measure([KEY, "default/thread/unknown", COPY])
    assert unknown == 0
    assert copied == pytest.approx(whole, rel=0.01)  # a copy has its own random number, of more or fewer digits
    await saver.forget([KEY])
    assert await saver.measure([KEY, COPY]) == [0, copied]
