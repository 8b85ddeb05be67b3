"""Values of a graph's state: every engine gives back the same, or the same error tells what cannot be kept."""

import asyncio
import json
import math
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.types import Send

from app.checkpoints.factory import open_saver
from app.checkpoints.serializer import Serializer
from app.errors import StateNotStorable
from app.text import storable_json
from tests import hostile, postgres_server, valkey_server
from tests import state_classes as classes
from tests.contract.state_builders import CONFIG, KEY, QUEUE, save, stored

Saver = Any


@pytest.fixture
async def saver(memory_url: str) -> AsyncIterator[Saver]:
    """An open, empty memory that allows the classes of tests."""
    async with open_saver(memory_url, QUEUE, [classes.MODULE]) as opened:
        yield opened


# Values that JSON, msgpack or an engine has no place for

SAME: dict[str, Any] = {
    "infinity": math.inf,
    "less than all": -math.inf,
    "minus zero": -0.0,
    "a whole float": 2.0,
    "a large whole float": 1e22,
    "a tiny float": 5e-324,
    "a float in text": "1e22",
    "NUL": "a page\x00of a PDF",
    "lines": "one\ntwo\u2028three",
    "empty text": "",
    "text in JSON": '"{}\\',
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "64 bits": 2**64 - 1,
    "65 bits": 2**64,
    "less than 64 bits": -(2**63) - 1,
    "5,000 digits": 10**5_000,
    "true": True,
    "none": None,
    "a set": {1, "a"},
    "a set of pairs": {(1, 2), (3, (4, 5))},
    "a frozen set": frozenset({1}),
    "a deque": deque([1, 2]),
    "whole keys": {1: "a", "1": "b"},
    "other keys": {None: 1, True: 2, 2.5: 3, b"x": 4},
    "pairs as keys": {(1, 2): 3},
    "objects as keys": {classes.Place(1): 2, frozenset({1}): 3},
    "large keys": {2**70: 1},
    "a moment": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "a day": date(2026, 1, 2),
    "a time span": timedelta(days=1, microseconds=1),
    "a decimal": Decimal("1.10"),
    "an id": UUID(int=1),
    "a path": Path("/tmp/x"),
    "a colour": classes.Colour.RED,
    "a size": classes.Size.LARGE,
    "a level": classes.Level.HIGH,
    "a dataclass": classes.Plan([1, {"a": classes.Plan(2)}]),
    "a frozen dataclass": classes.Place(2**70),
    "a dataclass with a field of its own": classes.Counted(1),
    "a named tuple": classes.Point(1),
    "another named tuple": classes.Pair({"a": 2**70}, "\x00"),
    "a model": classes.Weather(city="Oslo", degrees=math.inf),
    "a model with an alias": classes.Renamed(otherName=5),
    "objects in a model": classes.Renamed(otherName=[classes.Plan({"a": classes.Weather(city="Oslo")})]),
    "objects in a message": AIMessage("", additional_kwargs={"parsed": classes.Weather(city="Oslo")}),
    "the artifact of a tool": ToolMessage("", tool_call_id="1", artifact=classes.Plan([classes.Colour.RED, 2**70])),
    "a model of a list": classes.Tags(["a"]),
    "a message": classes.Remark(content="Hello", mood="gay"),
    "messages": [HumanMessage("Hi"), classes.Remark(content="Hello", mood="gay")],
    "a message for a node": Send("node", classes.Plan(2**70)),
    "all in all": [{"a": classes.Plan({(1, 2): [classes.Point(2**70, classes.Colour.RED)]})}],
}


@pytest.mark.parametrize("kind", SAME)
async def test_a_value_comes_back_as_it_was(saver: Saver, kind: str) -> None:
    value = SAME[kind]
    (found,) = (await stored(saver, value=value)).values()
    assert (found, type(found)) == (value, type(value))
    assert math.copysign(1, found) == math.copysign(1, value) if isinstance(value, float) else True


async def test_the_second_of_two_equal_times_at_the_end_of_summer_time_comes_back(saver: Saver) -> None:
    value = datetime.fromisoformat("2026-10-25T02:30").replace(fold=1)
    (found,) = (await stored(saver, value=[value])).values()
    assert [repr(each) for each in found] == [repr(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "nan"),
        ({math.nan: 1}, "{nan: 1}"),
        ("half \ud83d", "'half ?'"),
        ("\ude00 half", "'? half'"),
        ("both halves \ud83d\ude00", "'both halves \U0001f600'"),
        ({"\ud83d": {"\x00"}}, r"{'?': {'\x00'}}"),
        (classes.Plan("\ud83d\ude00"), "Plan(steps='\U0001f600')"),
        ((1, (2,)), "[1, [2]]"),
        (memoryview(b"x"), "b'x'"),
        (bytearray(b"x"), "b'x'"),
        (ValueError("no"), "'ValueError: no'"),
        ([ValueError("no"), hostile.Hostile()], "['ValueError: no', 'Hostile: (its text could not be read)']"),
    ],
)
async def test_what_changes_on_its_way_changes_the_same_everywhere(saver: Saver, value: Any, expected: str) -> None:
    (found,) = (await stored(saver, value=value)).values()
    assert repr(found) == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "an object": (classes.NoText(), "`page` is a tests.state_classes:NoText"),
    "a lock in a list": ({"a": [threading.Lock()]}, "`page.a[0]` is a _thread:lock"),
    "a complex number": (classes.Plan([1j]), "`page.steps[0]` is a builtins:complex"),
    "a class": (classes.Counted, "`page` is a builtins:type"),
    "a function": (classes.Point(len), "`page.x` is a builtins:builtin_function_or_method"),
    "an object in a model": (
        classes.Renamed(otherName=classes.NoText()),
        "`page.value` is a tests.state_classes:NoText",
    ),
    "an object in a message": (
        AIMessage("", additional_kwargs={"a": classes.NoText()}),
        "`page.additional_kwargs.a` is a tests.state_classes:NoText",
    ),
    "a ring": (classes.ring(), "`page[0]` refers back to itself"),
    "a ring of objects": (classes.ring_of_plans(), "refers back to itself"),
    "a deep nest": (classes.nest(3_000), "is nested too deeply"),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_cannot_be_kept_is_named_with_its_place(saver: Saver, kind: str) -> None:
    value, told = REFUSED[kind]
    before = await save(saver, page="before", other=1)
    config = {"configurable": {**CONFIG["configurable"], **before["configurable"]}}
    with pytest.raises(StateNotStorable) as refused:
        await saver.aput_writes(config, [("other", 1), ("page", value)], "task 2")
    assert told in str(refused.value)
    versions = {"page": saver.get_next_version(None, None)}
    checkpoint = {**empty_checkpoint(), "channel_values": {"other": 1, "page": value}, "channel_versions": versions}
    with pytest.raises(StateNotStorable) as refused:
        await saver.aput(config, checkpoint, {}, versions)
    assert told in str(refused.value)
    found = await saver.aget_tuple({"configurable": {"thread_id": KEY, "checkpoint_ns": ""}})
    assert found.config["configurable"]["checkpoint_id"] == before["configurable"]["checkpoint_id"]
    assert len(found.pending_writes) == 2


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats()
    | st.text(st.characters(codec=None, categories=None), max_size=6)
    | st.binary(max_size=4)
    | st.datetimes()
    | st.sampled_from([classes.Colour.RED, classes.Size.LARGE, classes.Level.HIGH])
)
KEYS = (
    st.integers() | st.text(st.characters(codec=None, categories=None), max_size=3) | st.none() | st.binary(max_size=2)
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS | st.tuples(KEYS, KEYS), inner, max_size=3)
        | st.sets(KEYS, max_size=1)  # those of several items have no order to compare
        | inner.map(classes.Plan)
        | st.builds(classes.Point, inner, inner)
        | inner.map(lambda value: classes.Renamed(otherName=value))
        | inner.map(lambda value: AIMessage("x", id="1", additional_kwargs={"value": value}))
    ),
    max_leaves=8,
)


def test_random_values_are_stored_and_shown_the_same_on_all_engines(tmp_path: Path) -> None:
    """A value that comes back is stored again unchanged, and shown as it was shown before it was stored."""
    urls = [
        "memory://",
        f"sqlite:///{tmp_path}/checkpoints.db",
        postgres_server.shared_server().url,
        valkey_server.shared_server().url,
    ]
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()

        async def open_all() -> list[Saver]:
            return [await opened.enter_async_context(open_saver(each, QUEUE, [classes.MODULE])) for each in urls]

        savers = runner.run(open_all())
        number = iter(range(10**9))

        @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
        @given(NESTED)
        def check(value: Any) -> None:
            key = f"random/{os.getpid()}/{next(number)}"

            async def all_stored() -> list[Any]:
                return [(await stored(saver, key, value=value))["value"] for saver in savers]

            found = runner.run(all_stored())
            assert len({repr(each) for each in found}) == 1
            assert len({json.dumps(storable_json(each), allow_nan=False) for each in [value, *found]}) == 1
            again = Serializer([classes.MODULE])
            assert repr(again.loads_typed(again.dumps_typed(found[0]))) == repr(found[0])

        try:
            check()
        finally:
            runner.run(opened.aclose())


async def test_metadata_of_checkpoints_is_the_same_everywhere(saver: Saver) -> None:
    odd = {"nan": math.nan, "large": 2**70, "half": "\ud83d", "nul": "a\x00b", "whole": 1e22, "text": "x"}
    config: RunnableConfig = {"configurable": {**CONFIG["configurable"]}, "metadata": odd}
    checkpoint = empty_checkpoint()
    about: Any = {"source": "loop", "step": 1, "parents": {}, "scores": (math.inf, 1)}
    await saver.aput(config, checkpoint, about, {})
    found = await saver.aget_tuple({"configurable": {"thread_id": KEY, "checkpoint_ns": ""}})
    assert found.metadata == {
        "source": "loop", "step": 1, "parents": {}, "scores": [None, 1], "run_id": "m",
        "nan": None, "large": 2**70, "half": "?", "nul": "ab", "whole": 1e22, "text": "x",
    }  # fmt: skip
    await saver.forget_messages(KEY, (1, 1), ["m"])
    assert await saver.aget_tuple({"configurable": {"thread_id": KEY, "checkpoint_ns": ""}}) is None
