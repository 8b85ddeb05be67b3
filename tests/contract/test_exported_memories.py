"""The memory of agents goes from any store into any other, and conversations go on there."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from app.backups.records import MemoryRecord, Record
from app.checkpoints.factory import open_saver
from app.checkpoints.transfer import read_steps, write_step
from app.errors import StateUnreadable

TENANT, THREAD = "default", "t"
KEY = "default/thread/t"
QUEUE, OTHER_QUEUE = "this queue", "another queue"

Saver = Any
Graph = Any

_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def add_all(state: list[Any], writes: list[Any]) -> list[Any]:
    for write in writes:
        state = add_messages(state, write)  # type: ignore[assignment]  # two lists give a list
    return state


class Deltas(TypedDict):
    """A state whose messages are built from the writes of all earlier steps."""

    messages: Annotated[list[AnyMessage], DeltaChannel(add_all)]


async def hear(state: Any) -> dict[str, Any]:
    """Tell all that was said."""
    return {
        "messages": [AIMessage(" | ".join(str(each.content) for each in state["messages"] if each.type == "human"))]
    }


async def ask(state: Any) -> dict[str, Any]:
    """Ask a question, and tell its answer."""
    return {"messages": [AIMessage(f"You said {interrupt('Really?')}.")]}


def graph(node: Any = hear, state: Any = MessagesState) -> Graph:
    builder = StateGraph(state)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


async def said(saver: Saver, built: Graph, given: Any) -> Any:
    """Run a graph on a memory, and return its newest message."""
    values = {"messages": [HumanMessage(given)]} if isinstance(given, str) else given
    turn = values["messages"][0].content if isinstance(values, dict) else "one"
    config: RunnableConfig = {"configurable": {"thread_id": KEY, "run_id": turn}}
    found = await built.copy(update={"checkpointer": saver}).ainvoke(values, config, durability="sync")
    return found["messages"][-1].content


async def moved(source: Saver, target: Saver) -> int:
    """Export a conversation, import it twice, and return the number of its steps."""
    lines = [MemoryRecord.of(step, TENANT, THREAD, None).line() for step in await read_steps(source, KEY)]
    records = [_RECORD.validate_json(line) for line in lines]
    for is_new in (True, False):
        for record in records:
            assert isinstance(record, MemoryRecord)
            key, step = record.stored()
            assert key == KEY
            assert await write_step(target, key, step) is is_new
    return len(lines)


@pytest.fixture(params=["out of", "into"])
async def pair(request: pytest.FixtureRequest, memory_url: str, tmp_path: Path) -> AsyncIterator[tuple[Saver, Saver]]:
    """The memory that is exported, and an empty one. One of them is a file."""
    async with (
        open_saver(memory_url, QUEUE) as of_engine,
        open_saver(f"sqlite:///{tmp_path}/other.db", OTHER_QUEUE) as file,
    ):
        yield (of_engine, file) if request.param == "out of" else (file, of_engine)


async def test_a_conversation_goes_on(pair: tuple[Saver, Saver]) -> None:
    source, target = pair
    for text in ("one", "two", "three"):
        await said(source, graph(), text)
    assert await moved(source, target) == 2, "the ends of two turns are enough"
    assert await said(target, graph(), "four") == "one | two | three | four"
    first, *_ = await read_steps(source, KEY)
    assert not await write_step(target, KEY, first), "a conversation that went on is left as it is"
    assert await said(target, graph(), "five") == "one | two | three | four | five"


@pytest.mark.parametrize("shape", ["graph", "subgraph"])
async def test_a_question_is_answered_where_it_was_moved_to(pair: tuple[Saver, Saver], shape: str) -> None:
    source, target = pair
    asking = graph(ask) if shape == "graph" else graph(graph(ask))
    await said(source, asking, "one")
    assert await moved(source, target) == (1 if shape == "graph" else 2)
    assert await said(target, asking, Command(resume="yes")) == "You said yes."


async def test_the_newest_turn_can_be_taken_back(pair: tuple[Saver, Saver]) -> None:
    source, target = pair
    for text in ("one", "two", "three"):
        await said(source, graph(), text)
    await moved(source, target)
    await target.forget_messages(KEY, (1, 1), ["three"])
    assert await said(target, graph(), "other") == "one | two | other"


async def test_channels_that_are_built_from_earlier_steps_come_whole(pair: tuple[Saver, Saver]) -> None:
    source, target = pair
    built = graph(state=Deltas)
    for text in ("one", "two", "three"):
        await said(source, built, text)
    assert await moved(source, target) > 3
    assert await said(target, built, "four") == "one | two | three | four"


async def test_an_import_that_was_cut_off_adds_what_is_missing(pair: tuple[Saver, Saver]) -> None:
    source, target = pair
    asking = graph(ask)
    await said(source, asking, "one")
    (step,) = await read_steps(source, KEY)
    assert step.writes
    assert await write_step(target, KEY, step._replace(writes=()))
    assert await write_step(target, KEY, step)
    assert not await write_step(target, KEY, step)
    assert await said(target, asking, Command(resume="yes")) == "You said yes."


async def test_a_step_that_was_changed_is_refused(saver: Saver) -> None:
    await said(saver, graph(), "one")
    (step,) = await read_steps(saver, KEY)
    dump = saver.serde.dumps_typed
    for wrong in (
        dump({"id": "other"}),
        dump([1]),
        dump({"id": step.checkpoint_id}),
        ("msgpack", b"\xc1"),
        ("json", b""),
    ):
        with pytest.raises(StateUnreadable):
            await write_step(saver, "default/thread/new", step._replace(checkpoint=wrong))
    record = json.loads(MemoryRecord.of(step, TENANT, THREAD, None).line())
    for wrong_record in ({**record, "checkpoint": ["msgpack", "no base64!"]}, {**record, "more": 1}):
        with pytest.raises(ValidationError):
            _RECORD.validate_json(json.dumps(wrong_record))
