"""What a graph's state may hold: the same comes back from every engine, or the same error tells what cannot be kept."""

import asyncio
import json
import logging
import math
import os
import pickle
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import ormsgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde import jsonplus
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.checkpoints.serializer import Serializer
from app.errors import StateNotStorable, StateUnreadable
from app.retry import judge
from app.state_types import StateTypesRefused
from app.text import storable_json
from tests import hostile, postgres_server, valkey_server
from tests import state_classes as classes
from tests.unit.test_langgraph_agent import run, texts

QUEUE = "this queue"
KEY = "default/thread/t"
CONFIG: RunnableConfig = {"configurable": {"thread_id": KEY, "checkpoint_ns": "", "run_id": "m"}}
Saver = Any


@pytest.fixture(params=["memory", "sqlite", "postgres", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty memory of agents is, of each kind."""
    match request.param:
        case "memory":
            return "memory://"
        case "sqlite":
            return f"sqlite:///{tmp_path}/checkpoints.db"
        case kind:
            return str(request.getfixturevalue(kind).url)


@pytest.fixture
async def saver(url: str) -> AsyncIterator[Saver]:
    """An open, empty memory that allows the classes of tests."""
    async with open_saver(url, QUEUE, [classes.MODULE]) as opened:
        yield opened


async def save(saver: Saver, key: str = KEY, **values: Any) -> RunnableConfig:
    """Save a checkpoint with these values and with a write of each of them."""
    config: RunnableConfig = {"configurable": {**CONFIG["configurable"], "thread_id": key}}
    versions = dict.fromkeys(values, saver.get_next_version(None, None))
    checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    saved: RunnableConfig = await saver.aput(config, checkpoint, {"source": "loop", "step": 1}, versions)
    await saver.aput_writes(saved, list(values.items()), "task")
    return saved


async def stored(saver: Saver, key: str = KEY, **values: Any) -> Any:
    """What comes back of a value, the same as part of the state and as a write of an unfinished step."""
    await save(saver, key, **values)
    found = await saver.aget_tuple({"configurable": {"thread_id": key, "checkpoint_ns": ""}})
    written = {channel: value for _, channel, value in found.pending_writes}
    state = found.checkpoint["channel_values"]
    assert written.keys() == state.keys() == values.keys()
    assert written == state or repr(written) == repr(state)  # NaN is not equal to itself
    return state


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
    "a model of a list": classes.Tags(["a"]),
    "a message": classes.Remark("Hello", mood="gay"),
    "messages": [HumanMessage("Hi"), classes.Remark("Hello", mood="gay")],
    "a message for a node": Send("node", classes.Plan(2**70)),
    "all in all": [{"a": classes.Plan({(1, 2): [classes.Point(2**70, classes.Colour.RED)]})}],
}


@pytest.mark.parametrize("kind", SAME)
async def test_a_value_comes_back_as_it_was(saver: Saver, kind: str) -> None:
    value = SAME[kind]
    (found,) = (await stored(saver, value=value)).values()
    assert (found, type(found)) == (value, type(value))
    assert math.copysign(1, found) == math.copysign(1, value) if isinstance(value, float) else True


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
        (classes.Counted, None),
    ],
)
async def test_what_changes_on_its_way_changes_the_same_everywhere(saver: Saver, value: Any, expected: str) -> None:
    if expected is None:
        with pytest.raises(StateNotStorable, match="builtins:type"):
            await stored(saver, value=value)
        return
    (found,) = (await stored(saver, value=value)).values()
    assert repr(found) == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "an object": (classes.NoText(), "`page` is a tests.state_classes:NoText"),
    "a lock in a list": ({"a": [threading.Lock()]}, "`page.a[0]` is a _thread:lock"),
    "a complex number": (classes.Plan([1j]), "`page.steps[0]` is a builtins:complex"),
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
        | st.sets(KEYS, max_size=2)
        | inner.map(classes.Plan)
        | st.builds(classes.Point, inner, inner)
        | inner.map(lambda value: classes.Renamed(otherName=value))
        | inner.map(lambda value: AIMessage("x", id="1", additional_kwargs={"value": value}))
    ),
    max_leaves=8,
)


def test_random_values_are_stored_and_shown_the_same_on_all_engines(tmp_path: Path) -> None:
    """What comes back is stored again without a further change, and shown as it was shown before it was stored."""
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


# Types that are not allowed, and rows that were forged


@pytest.mark.parametrize(
    "names", [["tests.state_classes"], ["tests.state_classes:Plan", "tests.state_classes:Weather"]]
)
async def test_a_module_or_a_class_is_allowed_by_its_name(url: str, names: list[str]) -> None:
    async with open_saver(url, QUEUE, names) as saver:
        values = {"plan": classes.Plan(1), "weather": classes.Weather(city="Oslo")}
        assert await stored(saver, **values) == values


async def test_a_type_that_is_not_allowed_comes_as_plain_data_and_is_logged(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_saver(url, QUEUE, ["tests.state_classes:Weather", "tests.contract"]) as saver:
        found = await stored(saver, plan=classes.Plan(classes.Weather(city="Oslo")), colour=classes.Colour.RED)
    assert found == {"plan": {"steps": classes.Weather(city="Oslo")}, "colour": "red"}
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == [
        f"Stored state is given as plain data: type=tests.state_classes:{name}, ALLOWED_STATE_TYPES does not name it"
        for name in ("Colour", "Plan")
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (classes.Outer.Inner(x=1), "its module has no class of this name at its top level"),
        (classes.Counted(given=1), "it cannot be built again from its data (TypeError)"),
    ],
)
async def test_a_type_that_cannot_be_built_comes_as_plain_data_and_is_logged(
    saver: Saver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, value: Any, reason: str
) -> None:
    monkeypatch.setattr(classes, "Counted", classes.Colour)  # as another version of the program has it
    await stored(saver, value=value)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert reason in caplog.text


def forged(code: int, *content: Any) -> tuple[str, bytes]:
    return "msgpack", ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(content)))


NAMES = [
    ("tests.state_classes", "spring"),
    ("tests.state_classes", "system"),
    ("tests.state_classes", "os"),
    ("tests.state_classes", "Plan.__init__"),
    ("tests.other_classes", "Trap"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("os", "system"),
    ("subprocess", "Popen"),
    ("collections", "namedtuple"),
]
"""What a forged row may name, where its class is none that is allowed."""

PAYLOADS = {
    jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG: "tests.state_classes.SPRUNG.append(1)",
    jsonplus.EXT_CONSTRUCTOR_POS_ARGS: ["1"],
    jsonplus.EXT_CONSTRUCTOR_KW_ARGS: {"armed": True},
    jsonplus.EXT_METHOD_SINGLE_ARG: "1",
    jsonplus.EXT_PYDANTIC_V1: {"armed": True},
    jsonplus.EXT_PYDANTIC_V2: {"armed": True},
}
TRAP = {"type": "constructor", "id": ["tests", "state_classes", "Trap"], "kwargs": {"armed": True}}
FORGED = [
    *(forged(code, *name, payload, "fromisoformat") for name in NAMES for code, payload in PAYLOADS.items()),
    forged(jsonplus.EXT_METHOD_SINGLE_ARG, "datetime", "datetime", "1", "strptime"),
    *(("json", json.dumps({"lc": version, **TRAP}).encode()) for version in (1, 2)),
]


@pytest.mark.parametrize("row", FORGED)
def test_a_forged_row_runs_nothing(row: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a module that is allowed, it gets the classes that the module defines."""
    ran: list[str] = []
    monkeypatch.setattr(classes, "SPRUNG", ran)
    monkeypatch.setattr(os, "system", ran.append)
    monkeypatch.setattr(classes, "system", ran.append)
    for allowed in ([], ["tests.state_classes:Plan", "os.path", "state_classes"], ["tests.state_classes"]):
        with suppress(StateUnreadable):
            Serializer(allowed).loads_typed(row)
    assert ran == []


def test_a_class_is_built_when_it_is_allowed_and_not_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    sprung: list[Any] = []
    monkeypatch.setattr(classes, "SPRUNG", sprung)
    row = forged(jsonplus.EXT_CONSTRUCTOR_KW_ARGS, "tests.state_classes", "Trap", {"armed": True})
    assert Serializer(["tests.state_classes:Plan"]).loads_typed(row) == {"armed": True}
    assert sprung == []
    assert Serializer(["tests.state_classes:Trap"]).loads_typed(row) == classes.Trap(armed=True)


@pytest.mark.parametrize(
    "row",
    [
        ("pickle", pickle.dumps(1)),
        ("msgpack", b"\xc1"),
        ("msgpack", ormsgpack.packb(ormsgpack.Ext(jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG, b"\x01"))),
        ("json", b"{"),
        ("of tomorrow", b""),
    ],
)
def test_a_row_that_cannot_be_read_says_so(row: tuple[str, bytes]) -> None:
    with pytest.raises(StateUnreadable, match="What is stored of the state cannot be read") as raised:
        Serializer().loads_typed(row)
    assert raised.value.code == "state_unreadable"


# In graphs


class Work(MessagesState, total=False):
    """A state with a value of any kind."""

    value: Any


def graph(*nodes: Callable[[Any], Any]) -> Any:
    """A graph of these nodes, one after the other."""
    built = StateGraph(Work)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        built.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        built.add_edge(source, target)
    return built.compile()


async def tell(state: Work) -> dict[str, Any]:
    """Answer with what the state has."""
    return {"messages": [AIMessage(ascii(state.get("value")))]}


async def make(_: Work) -> dict[str, Any]:
    return {"value": classes.Plan(classes.Weather(city="Oslo"))}


async def ask(state: Work) -> dict[str, Any]:
    """Ask with an object, and answer with what the state has."""
    interrupt(classes.Plan("sure?"))
    return await tell(state)


async def use(state: Work) -> dict[str, Any]:
    """Read an attribute of what another message has left."""
    return {"messages": [AIMessage(str(state["value"].steps))]}


PLAN = "Plan(steps=Weather(city='Oslo', degrees=0.0))"


@pytest.mark.parametrize("nested", [False, True])
async def test_types_come_back_behind_a_question_in_a_later_message_and_process(url: str, nested: bool) -> None:
    asking = graph(make, ask)
    if nested:
        built = StateGraph(Work)
        built.add_node("inner", asking)
        built.add_edge(START, "inner")
        asking = built.compile()

    async def go_on(saver: Saver) -> None:
        shown = await run(LangGraphAgent(asking, saver), 1, 2, resume={question["id"]: "yes"})
        assert texts(shown)[-1] == PLAN
        assert texts(await run(LangGraphAgent(graph(tell), saver), 2, 1))[-1] == PLAN

    async with open_saver(url, QUEUE, [classes.MODULE]) as saver:
        (question,) = (await run(LangGraphAgent(asking, saver), 1, 1))[-1]
        assert question["value"] == {"steps": "sure?"}
        if url == "memory://":
            await go_on(saver)
    if url != "memory://":
        async with open_saver(url, QUEUE, [classes.MODULE]) as later:
            await go_on(later)


async def test_a_node_that_misses_a_type_fails_with_the_setting_and_its_name(tmp_path: Path) -> None:
    memory = f"sqlite:///{tmp_path}/checkpoints.db"
    async with open_saver(memory, QUEUE) as saver:
        await run(LangGraphAgent(graph(make, tell), saver), 1, 1)
        with pytest.raises(StateTypesRefused) as failed:
            await run(LangGraphAgent(graph(use), saver), 2, 1)
        assert judge(failed.value, datetime.now(UTC)) == (False, "state_type_refused", None)
        assert str(failed.value) == (
            "AttributeError: 'dict' object has no attribute 'steps'. The stored state has values of types that "
            "ALLOWED_STATE_TYPES does not name, and gives them as plain data: tests.state_classes:Plan, "
            "tests.state_classes:Weather. Add these names to ALLOWED_STATE_TYPES."
        )
    async with open_saver(memory, QUEUE, [classes.MODULE]) as saver:
        assert texts(await run(LangGraphAgent(graph(use), saver), 2, 2))[-1] == "city='Oslo' degrees=0.0"


async def test_other_errors_and_other_threads_hear_nothing_of_it(url: str) -> None:
    async def fails(_: Work) -> dict[str, Any]:
        raise TimeoutError("later")

    async def misses(_: Work) -> dict[str, Any]:
        raise AttributeError("of its own")

    async with open_saver(url, QUEUE) as saver:
        with pytest.raises(AttributeError, match="of its own"):
            await run(LangGraphAgent(graph(make, misses), saver), 1, 1)
        await run(LangGraphAgent(graph(make, tell), saver), 2, 1)
        with pytest.raises(TimeoutError):
            await run(LangGraphAgent(graph(fails), saver), 3, 1)


@pytest.mark.parametrize("where", ["state", "question", "messages"])
async def test_what_cannot_be_kept_fails_its_message_and_not_the_thread(saver: Saver, where: str) -> None:
    async def works(_: Work) -> dict[str, Any]:
        if where == "question":
            interrupt({"a": [threading.Lock()]})
        if where == "messages":
            return {"messages": [AIMessage("", additional_kwargs={"a": [threading.Lock()]})]}
        return {"value": {"a": [threading.Lock()]}}

    places = {
        "state": r"`value\.a\[0\]` is a _thread:lock",
        "question": r"`interrupt\(\)\[0\]\.value\.a\[0\]` is a _thread:lock",
        "messages": r"`messages\[\d\]\.additional_kwargs\.a\[0\]` is a _thread:lock",
    }
    with pytest.raises(StateNotStorable, match=places[where]) as refused:
        await run(LangGraphAgent(graph(tell, works), saver), 1, 1)
    assert refused.value.code == "state_not_storable"
    assert texts(await run(LangGraphAgent(graph(tell), saver), 2, 1))[-1] == "None"


ODD = {"nan": math.nan, "half": "\ud83d", "bytes": b"\x00", "set": {2, 1}, "large": 2**70, "plan": classes.Plan({1: 2})}
SHOWN = {"nan": None, "half": "?", "bytes": "AA==", "set": [1, 2], "large": 2**70, "plan": {"steps": {"1": 2}}}


async def test_odd_values_in_tool_calls_questions_and_answers(saver: Saver) -> None:
    async def works(state: Work) -> dict[str, Any]:
        if state.get("value") is None:
            call = {"id": "1", "name": "look", "args": ODD}
            return {"messages": [AIMessage("", tool_calls=[call])], "value": ODD}
        return {"value": interrupt(ODD)}

    agent = LangGraphAgent(graph(works, ask_again, tell), saver)
    shown = await run(agent, 1, 1)
    assert shown[0].chunk["args"] == SHOWN
    (question,) = shown[-1]
    assert question["value"] == SHOWN
    answer = {"large": 2**70, "nested": [[[[1e22]]]], "nul": "\x00"}
    assert texts(await run(agent, 1, 2, resume={question["id"]: answer}))[-1] == ascii(answer)


async def ask_again(_: Work) -> dict[str, Any]:
    return {"value": interrupt(ODD)}
