"""The writer of a log: how it makes events of the parts of an answer."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from typing_extensions import override

from app.errors import StoreUnavailable
from app.events.writer import MAX_APPEND_LENGTH, MAX_CHUNK_LENGTH, EventWriter, merged
from app.models.attempts import Lease
from app.models.events import Event, EventType, NewEvent
from app.models.parts import Part
from app.models.usage import MeteredCall, ModelUsage, Tokens
from app.store.sqlite.store import SqliteStore
from tests.contract.builders import TENANT, start


def discard(message: str, *, kept: bool) -> Part:
    return Part("discard", kept, message, "n")


async def written(*writes: Sequence[Part]) -> list[dict[str, Any]]:
    """The chunks of parts that came together, then of the next ones."""
    store = SqliteStore(None)
    await store.open()
    try:
        lease = await start(store)
        writer = EventWriter(store, lease)
        for parts in writes:
            for part in parts:
                await writer.write(part)
            await writer.drain()
        events: list[Event] = []
        while page := (await store.read(TENANT, lease.message_id, after=len(events), limit=100)).events:
            events += page
        return [{"id": event.id, **json.loads(event.data)} for event in events[1:]]
    finally:
        await store.close()


def test_text_is_joined_within_one_type_message_and_node_only() -> None:
    parts = [
        Part("content", "a", "1", "n"),
        Part("content", "b", "1", "n"),
        Part("reasoning", "c", "1", "n"),
        Part("content", "d", "2", "n"),
        Part("content", "e", "2", "m"),
        Part("tool_call", "f", None, "m"),
        Part("tool_call", "g", None, "m"),
        Part("content", "h"),
        Part("content", "i"),
    ]
    assert [part.chunk for part in merged(parts)] == ["ab", "c", "d", "e", "f", "g", "hi"]


def test_long_text_is_cut_and_names_its_message_in_each_chunk() -> None:
    text = "x" * (2 * MAX_CHUNK_LENGTH + 1)
    chunks = merged([Part("content", text, "1", "n"), Part("content", "", "2", "n")])
    assert [len(str(part.chunk)) for part in chunks] == [MAX_CHUNK_LENGTH, MAX_CHUNK_LENGTH, 1]
    assert {(part.message, part.node) for part in chunks} == {("1", "n")}


async def test_a_discard_tells_where_the_text_began() -> None:
    chunks = await written(
        [Part("content", "a", "1", "n")],
        [Part("content", "b", "2", "n"), Part("content", "c", "1", "n"), discard("2", kept=True)],
        [discard("1", kept=False), Part("content", "d", "1", "n")],
        [discard("1", kept=False)],
    )
    assert [chunk["index"] for chunk in chunks] == list(range(len(chunks)))
    told = [chunk for chunk in chunks if chunk["type"] == "discard"]
    assert [(each["message"], each["kept"], each["discard_from"], each["chunk"]) for each in told] == [
        ("2", True, next(chunk["id"] for chunk in chunks if chunk["chunk"] == "b"), ""),
        ("1", False, next(chunk["id"] for chunk in chunks if chunk["chunk"] == "a"), ""),
        ("1", False, next(chunk["id"] for chunk in chunks if chunk["chunk"] == "d"), ""),
    ]


async def test_a_discard_of_text_that_is_not_written_yet_comes_behind_it() -> None:
    parts = [Part("content", "a", "1"), discard("1", kept=False), Part("content", "b", "2")]
    assert [(chunk["id"], chunk["type"], chunk.get("discard_from")) for chunk in await written(parts * 2)] == [
        (2, "content", None),
        (3, "discard", 2),
        (4, "content", None),
        (5, "content", None),
        (6, "discard", 5),
        (7, "content", None),
    ]


async def test_a_discard_of_what_was_never_shown_is_left_out() -> None:
    assert await written([discard("1", kept=False), Part("tool_call", 1)]) == [
        {"id": 2, "type": "tool_call", "chunk": 1, "index": 0}
    ]


async def test_a_discard_finds_the_beginning_of_an_answer_of_several_appends() -> None:
    text = "x" * (2 * MAX_APPEND_LENGTH)
    chunks = await written([Part("content", "a", "0"), Part("content", text, "1"), discard("1", kept=False)])
    assert (len(chunks), chunks[-1]["discard_from"]) == (2 + 2 * MAX_APPEND_LENGTH // MAX_CHUNK_LENGTH, 3)


class Faulty(SqliteStore):
    """A store that refuses the next appends, or holds them up."""

    def __init__(self) -> None:
        super().__init__(None)
        self.refusals = 0
        self.held: asyncio.Event | None = None

    @override
    async def append(self, lease: Lease, events: Sequence[NewEvent], usage: Sequence[ModelUsage] = ()) -> int:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("The disk is full.")
        if self.held is not None:
            await self.held.wait()
        return await super().append(lease, events, usage)


@pytest.fixture
async def faulty() -> AsyncIterator[Faulty]:
    store = Faulty()
    await store.open()
    yield store
    await store.close()


def call(model: str, tokens: int) -> MeteredCall:
    return MeteredCall({"input_tokens": tokens}, ModelUsage(model, Tokens(1, tokens)))


async def kept(store: SqliteStore, lease: Lease) -> dict[str, int]:
    """Return the stored input tokens of the message by model, after comparing them with its log."""
    found = {model: tokens.input_tokens for model, tokens in await store.message_usage(TENANT, lease.message_id)}
    told: Counter[str] = Counter()
    for event in (await store.read(TENANT, lease.message_id, after=0, limit=100)).events:
        if event.type is EventType.USAGE:
            told.update({model: each["input_tokens"] for model, each in json.loads(event.data)["models"].items()})
    assert dict(told) == found
    return found


async def test_usage_comes_behind_the_parts_before_it(faulty: Faulty) -> None:
    lease = await start(faulty)
    writer = EventWriter(faulty, lease)
    await writer.write(Part("content", "a"))
    await writer.count([call("m", 1), call("n", 2)])
    await writer.write(Part("content", "b"))
    await writer.count([call("m", 4)])
    await writer.drain()
    types = [event.type.value for event in (await faulty.read(TENANT, lease.message_id, after=1, limit=100)).events]
    assert (types[0], types[-1]) == ("chunk", "usage")
    assert await kept(faulty, lease) == {"m": 5, "n": 2}


async def test_usage_that_the_store_refused_is_stored_by_the_next_drain(faulty: Faulty) -> None:
    lease = await start(faulty)
    writer = EventWriter(faulty, lease)
    faulty.refusals = 1
    await writer.count([call("m", 1)])
    with pytest.raises(StoreUnavailable):
        await writer.drain()
    await writer.drain()
    assert await kept(faulty, lease) == {"m": 1}


async def test_an_abandoned_attempt_keeps_its_usage_and_drops_its_parts(faulty: Faulty) -> None:
    lease = await start(faulty)
    writer = EventWriter(faulty, lease)
    faulty.held = asyncio.Event()
    await writer.write(Part("content", "under way"))
    await asyncio.sleep(0)
    await writer.write(Part("content", "dropped"))
    await writer.count([call("m", 1)])
    await writer.abandon()
    faulty.held = None
    await writer.drain()
    assert await kept(faulty, lease) == {"m": 1}
    events = (await faulty.read(TENANT, lease.message_id, after=0, limit=100)).events
    assert not [event for event in events if "dropped" in event.data]
