"""Classes of users in the state of graphs: which come back as such, and what a forged row gets at."""

import json
import logging
import math
import os
import pickle
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.serde import jsonplus
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from app.agents.langgraph import LangGraphAgent
from app.checkpoints.factory import open_saver
from app.checkpoints.serializer import Serializer
from app.errors import StateNotStorable, StateUnreadable
from app.policy.retry import judge
from app.policy.state_types import StateTypesRefused
from tests import state_classes as classes
from tests.contract.state_builders import QUEUE, stored
from tests.state_graphs import ODD, SHOWN, Work, tell
from tests.unit.test_langgraph_agent import run, texts

Saver = Any


@pytest.fixture
async def saver(memory_url: str) -> AsyncIterator[Saver]:
    """An open, empty memory that allows the classes of tests."""
    async with open_saver(memory_url, QUEUE, [classes.MODULE]) as opened:
        yield opened


# Types that are not allowed, and rows that were forged


@pytest.mark.parametrize(
    "names", [["tests.state_classes"], ["tests.state_classes:Plan", "tests.state_classes:Weather"]]
)
async def test_a_module_or_a_class_is_allowed_by_its_name(memory_url: str, names: list[str]) -> None:
    async with open_saver(memory_url, QUEUE, names) as saver:
        values: dict[str, Any] = {"plan": classes.Plan(1), "weather": classes.Weather(city="Oslo")}
        assert await stored(saver, **values) == values


async def test_a_type_that_is_not_allowed_comes_as_plain_data_and_is_logged(
    memory_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_saver(memory_url, QUEUE, ["tests.state_classes:Weather", "tests.contract"]) as saver:
        found = await stored(saver, plan=classes.Plan(classes.Weather(city="Oslo")), colour=classes.Colour.RED)
    assert found == {"plan": {"steps": classes.Weather(city="Oslo")}, "colour": "red"}
    told = [record.getMessage() for record in caplog.records]
    assert sorted(told) == [
        f"Stored values are read as plain data: type=tests.state_classes:{name}, ALLOWED_STATE_TYPES does not name it"
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
"""Names that a forged row may have, none of an allowed class."""

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
    """A forged row gets only the classes that an allowed module defines itself."""
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
    with pytest.raises(StateUnreadable, match="The stored state cannot be read") as raised:
        Serializer().loads_typed(row)
    assert raised.value.code == "state_unreadable"


# In graphs


def graph(*nodes: Callable[[Any], Any]) -> Any:
    """A graph of these nodes, one after the other."""
    built: Any = StateGraph(Work)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        built.add_node(name, node)
    for source, target in zip([START, *names], [*names, END], strict=True):
        built.add_edge(source, target)
    return built.compile()


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
async def test_types_come_back_behind_a_question_in_a_later_message_and_process(memory_url: str, nested: bool) -> None:
    asking = graph(make, ask)
    if nested:
        built = StateGraph(Work)
        built.add_node("inner", asking)
        built.add_edge(START, "inner")
        asking = built.compile()

    async with open_saver(memory_url, QUEUE, [classes.MODULE]) as saver:
        (question,) = (await run(LangGraphAgent(asking, saver), 1, 1))[-1]
        assert question["value"] == {"steps": "sure?"}
    async with open_saver(memory_url, QUEUE, [classes.MODULE]) as later:
        shown = await run(LangGraphAgent(asking, later), 1, 2, resume={question["id"]: "yes"})
        assert texts(shown)[-1] == PLAN
        assert texts(await run(LangGraphAgent(graph(tell), later), 2, 1))[-1] == PLAN


async def test_a_node_that_misses_a_type_fails_with_the_setting_and_its_name(memory_url: str) -> None:
    async with open_saver(memory_url, QUEUE) as saver:
        await run(LangGraphAgent(graph(make, tell), saver), 1, 1)
        with pytest.raises(StateTypesRefused) as failed:
            await run(LangGraphAgent(graph(use), saver), 2, 1)
        assert judge(failed.value, datetime.now(UTC)) == (True, "state_type_refused", None)
        assert str(failed.value) == (
            "Add tests.state_classes:Plan, tests.state_classes:Weather to ALLOWED_STATE_TYPES and restart the worker. "
            "The stored state has values of these types, and the node got them as plain data. "
            "AttributeError: 'PlainDict' object has no attribute 'steps'"
        )
    async with open_saver(memory_url, QUEUE, [classes.MODULE]) as saver:
        assert texts(await run(LangGraphAgent(graph(use), saver), 2, 2))[-1] == "city='Oslo' degrees=0.0"


async def test_what_passes_through_a_process_without_the_setting_keeps_its_classes(memory_url: str) -> None:
    values: dict[str, Any] = {
        "list": [classes.Plan(1), classes.Plan(classes.Weather(city="Oslo", degrees=math.nan)), classes.Colour.RED],
        "odd": {(1, 2): classes.Place(2**70), 2: classes.Level.HIGH},
        "pair": classes.Pair(classes.Size.LARGE, classes.Renamed(otherName=1)),
        "tags": classes.Tags(["a"]),
        "message": classes.Remark(content="Hello", mood="gay"),
    }

    async def store(_: Work) -> dict[str, Any]:
        return {"value": values}

    async def passes(state: Work) -> dict[str, Any]:
        told = [*state["value"]["list"], state["value"]["odd"]]
        assert told[0] == {"steps": 1}
        return {"value": {**state["value"], "list": [*told[:-1], "more"]}}

    for number, (names, node) in enumerate((([], store), ([], passes), ([classes.MODULE], tell)), 1):
        async with open_saver(memory_url, QUEUE, names) as saver:
            shown = await run(LangGraphAgent(graph(node), saver), number, 1)
    assert texts(shown)[-1] == ascii({**values, "list": [*values["list"], "more"]})


async def test_other_errors_and_other_threads_hear_nothing_of_it(memory_url: str) -> None:
    async def fails(_: Work) -> dict[str, Any]:
        raise TimeoutError("later")

    async def misses(_: Work) -> dict[str, Any]:
        raise AttributeError("of its own")

    async with open_saver(memory_url, QUEUE) as saver:
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
