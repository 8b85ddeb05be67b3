"""Lists of long values."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.protocols.langgraph.json_lists import json_list

VALUES: list[Any] = [{"messages": ["long"]}, None, [1, "ä"]]


@pytest.mark.parametrize("size", range(4))
async def test_others_have_their_turn_after_each_value(size: int) -> None:
    turns: list[int] = [0]

    async def count() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def values() -> AsyncIterator[Any]:
        for value in VALUES[:size]:
            turns.append(turns[0])
            yield value

    others = asyncio.create_task(count())
    text = await json_list(values())
    others.cancel()
    assert json.loads(text) == VALUES[:size]
    assert turns[1:] == sorted(set(turns[1:]))
