"""Measurements of tenants, part by part, each of which is small."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.models.attempts import Completed
from app.models.items import ItemWrite
from app.models.messages import NewMessage
from app.models.storage import FIRST_PLACE, MeasuredThreads, MessageSizes
from app.models.threads import NewThread
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    ANSWER,
    DONE,
    FAILED,
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    add,
    chunk,
    dead_letter,
    interrupt,
    log,
    new,
    resume,
    start,
)

Limits = (1, 2, 7, ALL)


async def threads_of(store: Store, *, limit: int = ALL, tenant: str = TENANT) -> dict[str, MessageSizes]:
    """Return the sizes of all threads. A thread may come in several parts, which have to follow each other."""
    found: list[tuple[str, MessageSizes]] = []
    place: str | None = FIRST_PLACE
    while place is not None:
        part = await store.measure_threads(tenant, place, limit=limit)
        for each in part.threads:
            rest = found.pop()[1] if found and found[-1][0] == each.thread_id else MessageSizes()
            found.append((each.thread_id, each.sizes.plus(rest)))
        place = part.place
    assert len(dict(found)) == len(found), "a thread came back"
    return dict(found)


async def alone(store: Store, *, limit: int = ALL, tenant: str = TENANT) -> tuple[MessageSizes, list[str]]:
    """Return the sizes and the ids of all messages without a thread."""
    found = MessageSizes()
    ids: list[str] = []
    place: str | None = FIRST_PLACE
    while place is not None:
        part = await store.measure_messages(tenant, place, limit=limit)
        found, place = found.plus(part.sizes), part.place
        ids += part.ids
    return found, ids


async def thread_of(store: Store, thread_id: str, *, limit: int = ALL, tenant: str = TENANT) -> MessageSizes:
    """Return the sizes of one thread."""
    found = MessageSizes()
    place: str | None = FIRST_PLACE
    while place is not None:
        part = await store.measure_thread(tenant, thread_id, place, limit=limit)
        assert {each.thread_id for each in part.threads} <= {thread_id}
        for each in part.threads:
            found = found.plus(each.sizes)
        place = part.place
    return found


async def items_of(store: Store, *, limit: int = ALL, tenant: str = TENANT) -> tuple[int, int]:
    """Return the number of items and the bytes of their values."""
    items = size = 0
    place: str | None = FIRST_PLACE
    while place is not None:
        part = await store.measure_items(tenant, place, limit=limit)
        items, size, place = items + part.items, size + part.item_bytes, part.place
    return items, size


async def events_of(store: Store, *message_ids: str) -> tuple[int, int]:
    """Return the number of events and the bytes of their data, from the logs themselves."""
    events = [event for each in message_ids for event in await log(store, each)]
    return len(events), sum(len(event.data.encode()) for event in events)


async def ended(store: Store, content: str = "Hello", *, events: int = 3, **fields: Any) -> str:
    """A completed message with some events."""
    lease = await start(store, content=content, **fields)
    await store.append(lease, [chunk(i, f"token {i} ä") for i in range(events)])
    await store.finish(lease, DONE)
    return lease.message_id


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await threads_of(store) == {}
    assert await alone(store) == (MessageSizes(), [])
    assert await items_of(store) == (0, 0)
    assert await thread_of(store, "t") == MessageSizes()
    assert await store.list_stored_tenants(after="", limit=ALL) == []


async def test_the_bytes_are_those_of_all_texts(store: Store) -> None:
    lease = await start(store, content="frä", metadata={"k": "v"})
    await store.finish(lease, Completed("Ünd", '{"output":1}'))
    message = await store.get(TENANT, lease.message_id)
    sizes, ids = await alone(store)
    assert ids == [message.id]
    expected = len("frä".encode()) + len("Ünd".encode()) + len('{"output":1}') + len('{"k":"v"}')
    assert sizes[:2] == (1, expected)
    assert sizes[2:] == await events_of(store, message.id)


async def test_an_error_is_counted(store: Store) -> None:
    await dead_letter(store)
    assert (await alone(store))[0].message_bytes == len("Hello") + len(FAILED.error)


async def test_a_question_and_its_answer_are_counted(store: Store) -> None:
    asking = await interrupt(store)
    assert (await alone(store))[0].message_bytes == len("Hello") + len(INTERRUPTED.interrupts)
    await resume(store, asking)
    assert (await alone(store))[0].message_bytes >= len("Hello") + len(ANSWER)


@pytest.mark.parametrize("limit", Limits)
async def test_threads_are_measured_in_any_parts(store: Store, clock: ManualClock, limit: int) -> None:
    ids: dict[str, list[str]] = {}
    for number, thread in enumerate(["b", "a/b", "ä", "b", "c", "b", "ä"]):
        ids.setdefault(thread, []).append(
            await ended(store, "x" * number, thread=thread, events=number * (30 if thread == "b" else 1))
        )
        clock.advance(number % 2)  # some threads begin in the same moment
    await add(store, "alone")
    await add(store, "of another tenant", tenant=OTHER_TENANT, thread="b")
    await store.create_thread(TENANT, "empty", NewThread(None))
    found = await threads_of(store, limit=limit)
    expected = {"empty": MessageSizes()}
    for thread, message_ids in ids.items():
        texts = [(await store.get(TENANT, each)) for each in message_ids]
        size = sum(len(each.content) + len(each.result or "") for each in texts)
        expected[thread] = MessageSizes(len(message_ids), size, *await events_of(store, *message_ids))
    assert found == expected
    for thread, sizes in expected.items():
        assert await thread_of(store, thread, limit=limit) == sizes
    assert await threads_of(store, limit=limit, tenant=OTHER_TENANT) == {"b": MessageSizes(1, 17, 0, 0)}


@pytest.mark.parametrize("limit", Limits)
async def test_messages_without_a_thread_are_measured_in_any_parts(store: Store, limit: int) -> None:
    ids = []
    for number in range(5):
        ids.append(await ended(store, "xy", events=100 * number))
        await ended(store, "of a thread", thread="t")
    await ended(store, "of another tenant", tenant=OTHER_TENANT)
    sizes, found = await alone(store, limit=limit)
    assert found == ids
    assert sizes == MessageSizes(5, 5 * len("xyThe answer."), *await events_of(store, *ids))


@pytest.mark.parametrize("limit", Limits)
async def test_items_are_measured_in_any_parts(store: Store, clock: ManualClock, limit: int) -> None:
    values = [json.dumps({"value": "ä" * number}, ensure_ascii=False) for number in range(5)]
    writes = [
        ItemWrite(("space", str(number % 2)), f"key {number}", value, ttl_ms=1 if number == 0 else None)
        for number, value in enumerate(values)
    ]
    await store.put_items(TENANT, writes)
    await store.put_items(OTHER_TENANT, writes[:1])
    clock.advance(1)
    assert await items_of(store, limit=limit) == (5, sum(len(each.encode()) for each in values))
    await store.prune_items(limit=ALL)
    assert await items_of(store, limit=limit) == (4, sum(len(each.encode()) for each in values[1:]))


async def test_tenants_are_listed_by_name(store: Store) -> None:
    await add(store, tenant="b")
    await add(store, tenant="b", thread="t")
    await add(store, tenant="a", thread="t")
    await store.create_thread("c", "t", NewThread(None))
    await store.put_items("d:d", [ItemWrite(("space",), "key", "{}")])
    assert await store.list_stored_tenants(after="", limit=ALL) == ["a", "b", "c", "d:d"]
    assert await store.list_stored_tenants(after="a", limit=2) == ["b", "c"]
    assert await store.list_stored_tenants(after="d:d", limit=2) == []


async def test_what_is_deleted_is_not_measured(store: Store) -> None:
    await ended(store, thread="t")
    await ended(store)
    await store.delete_thread(TENANT, "t")
    await store.draft_thread(TENANT, "draft")
    assert await threads_of(store) == {}, "both are hidden until their memory is deleted or copied"
    assert (await alone(store))[0].messages == 1


async def test_pruned_logs_keep_one_event(store: Store, clock: ManualClock) -> None:
    message_id = await ended(store, events=10)
    clock.advance(3600)
    await store.prune_logs(older_than_seconds=60, limit=ALL)
    sizes, _ = await alone(store)
    assert sizes.events == 1
    assert sizes[2:] == await events_of(store, message_id)


async def test_a_thread_that_grows_is_measured_once(store: Store) -> None:
    """A place in the midst of a thread stays one if messages come and threads go."""
    for thread in ("a", "b", "c"):
        for _ in range(3):
            await ended(store, thread=thread, events=150)
    seen: list[MeasuredThreads] = []
    place: str | None = FIRST_PLACE
    while place is not None:
        seen.append(await store.measure_threads(TENANT, place, limit=2))
        place = seen[-1].place
        if len(seen) == 2:
            await store.delete_thread(TENANT, "a")
            await ended(store, thread="c", events=0)
    found = [each for part in seen for each in part.threads]
    assert sum(each.sizes.messages for each in found if each.thread_id == "b") == 3
    assert sum(each.sizes.messages for each in found if each.thread_id == "c") == 4


@pytest.mark.parametrize("measured", ["threads", "thread", "messages"])
async def test_a_part_is_small(store: Store, measured: str) -> None:
    """A part ends after about `limit` rows, so that nobody waits for the rest."""
    news: list[NewMessage] = [new(thread="t" if measured != "messages" else None) for _ in range(50)]
    await store.add(news, max_queued=ALL)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "threads": lambda: store.measure_threads(TENANT, FIRST_PLACE, limit=10),
        "thread": lambda: store.measure_thread(TENANT, "t", FIRST_PLACE, limit=10),
        "messages": lambda: store.measure_messages(TENANT, FIRST_PLACE, limit=10),
    }
    part = await calls[measured]()
    assert part.place is not None
    sizes = part.sizes if measured == "messages" else part.threads[0].sizes
    assert 0 < sizes.messages <= 10


async def test_an_engine_tells_what_it_uses(store: Store) -> None:
    await ended(store, "x" * 10_000)
    total, *others = await store.measure_engine()
    assert total.name == "total"
    assert total.bytes is not None
    assert total.bytes > 10_000
    names = [total.name, *(each.name for each in others)]
    assert len(set(names)) == len(names)
    assert all(each.bytes is None or each.bytes >= 0 for each in others)
