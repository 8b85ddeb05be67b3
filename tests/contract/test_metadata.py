"""Metadata of messages: kept, found by, and merged into those of their threads. The names of threads."""

import json
from typing import Any

import pytest

from app.models.inputs import RunInput
from app.models.messages import MessageFilter, MessageOptions, MetadataValue, Page
from app.store.limits import PAGE_TEXT_LENGTH, THREAD_METADATA_LENGTH
from app.store.ports import Store
from app.store.redis import queries as redis_queries
from app.store.sql import scanning
from tests.contract.builders import (
    DONE,
    FAILED,
    OTHER_TENANT,
    TENANT,
    add,
    add_all,
    all_threads,
    claim,
    listed,
    new,
    request_key,
    requeue,
    start,
    thread_messages,
)

EVERY_KIND: dict[str, MetadataValue] = {
    "text": 'a "quoted", {braced} \\ text\n',
    "unicode ü 🙂": "ü 🙂",
    "": "",
    "integer": 12345678901234567890123,
    "float": 0.1,
    "large": 1e300,
    "true": True,
    "false": False,
    "null": None,
}


async def found(store: Store, **metadata: str) -> list[str]:
    """The ids of messages with these metadata."""
    return await listed(store, metadata=metadata)


async def metadata_of(store: Store, thread: str, tenant: str = TENANT) -> dict[str, MetadataValue]:
    return (await store.get_thread(tenant, thread)).metadata


# Messages


async def test_metadata_are_kept_with_the_message(store: Store) -> None:
    message = await add(store, thread="t", metadata=EVERY_KIND)
    assert message.metadata == EVERY_KIND
    assert await store.get(TENANT, message.id) == message
    assert await store.list_messages(TENANT, MessageFilter(), Page(10)) == [message]
    (claimed,) = await claim(store)
    assert claimed.message.metadata == EVERY_KIND
    await store.finish(claimed.lease, FAILED)
    (again,) = await requeue(store, message.id)
    assert again.metadata == EVERY_KIND
    assert (await store.get(TENANT, message.id)).metadata == EVERY_KIND


@pytest.mark.parametrize("metadata", [None, {}])
async def test_a_message_without_metadata_has_none(store: Store, metadata: dict[str, Any] | None) -> None:
    message = await add(store, thread="t", metadata=metadata)
    assert (message.metadata, (await store.get(TENANT, message.id)).metadata) == ({}, {})
    assert await metadata_of(store, "t") == {}
    assert (await store.get_thread(TENANT, "t")).name is None


async def test_a_replay_has_the_same_metadata(store: Store) -> None:
    given = new(thread="t", metadata={"order": 7}, thread_name="Orders")
    (message,) = await add_all(store, given, key=request_key())
    again = await store.add([given], max_queued=10, key=request_key())
    assert (again.replayed, again.messages) == (True, [message])


async def test_messages_of_one_call_keep_their_own(store: Store) -> None:
    messages = await add_all(store, *(new(thread="t", metadata={"n": n} if n % 2 else None) for n in range(4)))
    assert [message.metadata for message in messages] == [{}, {"n": 1}, {}, {"n": 3}]
    assert await thread_messages(store, "t") == messages


# The filter


async def test_messages_are_found_by_metadata(store: Store) -> None:
    first = await add(store, metadata={"user": "ann", "plan": "free"})
    second = await add(store, thread="t", metadata={"user": "ann", "plan": "paid"})
    await add(store, metadata={"user": "bob"})
    await add(store)
    await add(store, tenant=OTHER_TENANT, metadata={"user": "ann"})
    assert await found(store, user="ann") == [second.id, first.id]
    assert await found(store, user="ann", plan="free") == [first.id]
    assert await found(store, user="bob", plan="free") == []
    assert await found(store, nobody="ann") == []
    assert await listed(store, metadata={"user": "ann"}, thread_id="t") == [second.id]
    assert await listed(store, metadata={"user": "ann"}, agent="other") == []
    assert len(await listed(store, metadata={})) == 4


async def test_a_text_also_finds_the_value_that_it_writes(store: Store) -> None:
    values: list[MetadataValue] = [42, "42", 42.0, True, "true", None, "null", 0.5, "0.5", 420, "4", False]
    ids = [(await add(store, metadata={"value": value})).id for value in values]
    for text, places in {
        "42": [0, 1, 2], "42.0": [0, 2], "true": [3, 4], "null": [5, 6], "0.5": [7, 8], "5e-1": [7], "420": [9],
        "4": [10], "false": [11], "True": [], "NaN": [], "[42]": [], '"42"': [], "": [],
    }.items():  # fmt: skip
        assert await found(store, value=text) == [ids[place] for place in reversed(places)], text


async def test_a_filter_matches_neither_inside_texts_nor_across_keys(store: Store) -> None:
    for metadata in (
        {"note": '{"user":"ann"}'},
        {"note": ',"user":"ann",'},
        {'x"user': "ann"},
        {'x,"user': "ann"},
        {"user": "ann and more"},
        {"user": "more\nann"},
        {"superuser": "ann"},
        {"user:": "ann"},
        {"User": "ann"},
        {"user": "Ann"},
    ):
        await add(store, metadata=metadata)
    assert await found(store, user="ann") == []


async def test_every_value_is_found_by_its_own_text(store: Store) -> None:
    for key, value in EVERY_KIND.items():
        message = await add(store, metadata={"before": 1, key: value, "~after": "x"})
        text = value if isinstance(value, str) else json.dumps(value)
        assert await listed(store, metadata={key: text, "before": "1"}) == [message.id]


@pytest.mark.parametrize("window", [1, 7])
async def test_a_filter_is_paged_whatever_a_look_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(scanning, "FIRST_WINDOW", window)
    monkeypatch.setattr(scanning, "LARGEST_WINDOW", window)
    monkeypatch.setattr(redis_queries, "SCAN_LENGTH", window)
    messages = await add_all(store, *(new(metadata={"third": n % 3 == 0}) for n in range(20)))
    chosen = MessageFilter(metadata={"third": "true"})
    ids: list[str] = []
    cursor = None
    while part := await store.list_messages(TENANT, chosen, Page(2, cursor)):
        ids += [message.id for message in part]
        cursor = (part[-1].number, "")
    assert ids == [message.id for message in messages[::-1] if message.metadata["third"]]


async def test_metadata_count_for_the_length_of_a_page(store: Store) -> None:
    ids = [(await add(store, metadata={"long": "x" * (PAGE_TEXT_LENGTH // 2)})).id for _ in range(3)]
    first = await store.list_messages(TENANT, MessageFilter(), Page(10))
    assert [message.id for message in first] == ids[:0:-1]


# Threads


async def test_a_thread_merges_the_metadata_of_its_messages(store: Store) -> None:
    for metadata, merged in (
        ({"user": "ann", "step": 1}, {"user": "ann", "step": 1}),
        (None, {"user": "ann", "step": 1}),
        ({"step": 2.5, "done": False}, {"user": "ann", "step": 2.5, "done": False}),
        ({"user": None, "unknown": None}, {"step": 2.5, "done": False}),
        ({"step": None, "done": None}, {}),
    ):
        await add(store, thread="t", metadata=metadata)
        assert await metadata_of(store, "t") == merged
        assert (await all_threads(store))[0].metadata == merged


async def test_a_thread_keeps_values_of_every_kind(store: Store) -> None:
    await add(store, thread="t", metadata=EVERY_KIND)
    kept = {key: value for key, value in EVERY_KIND.items() if value is not None}
    assert await metadata_of(store, "t") == kept
    await add(store, thread="t", metadata={"more": 1})
    assert await metadata_of(store, "t") == kept | {"more": 1}


async def test_the_messages_of_one_call_are_merged_in_their_order(store: Store) -> None:
    await add_all(
        store,
        new(thread="t", metadata={"a": 1, "b": 1, "c": 1}, thread_name="first"),
        new(thread="t", metadata={"a": 2, "b": None}, thread_name="second"),
        new(thread="other", metadata={"a": 9}),
        new(thread="t", metadata={"b": 3, "c": None}),
    )
    assert await metadata_of(store, "t") == {"a": 2, "b": 3}
    assert await metadata_of(store, "other") == {"a": 9}
    assert (await store.get_thread(TENANT, "t")).name == "second"


async def test_a_thread_has_the_newest_name(store: Store) -> None:
    for given, name in ((None, None), ("Plans", "Plans"), (None, "Plans"), ("Plans 🙂", "Plans 🙂"), ("", "")):
        await add(store, thread="t", thread_name=given)
        assert (await store.get_thread(TENANT, "t")).name == name
        assert (await all_threads(store))[0].name == name


async def test_a_thread_keeps_name_and_metadata_through_runs_and_requeues(store: Store) -> None:
    lease = await start(store, thread="t", thread_name="Plans", metadata={"a": 1})
    await store.finish(lease, FAILED)
    await add(store, thread="t", metadata={"a": 2})
    await requeue(store, lease.message_id)
    thread = await store.get_thread(TENANT, "t")
    assert (thread.name, thread.metadata) == ("Plans", {"a": 2})
    (claimed,) = await claim(store)
    assert (await all_threads(store))[0] == await store.get_thread(TENANT, "t")
    await store.finish(claimed.lease, DONE)
    thread = await store.get_thread(TENANT, "t")
    assert (thread.name, thread.metadata) == ("Plans", {"a": 2})


async def test_metadata_that_no_longer_fit_leave_those_of_the_thread(store: Store) -> None:
    await add(store, thread="t", metadata={"first": 1})
    for number in range(3):
        message = await add(store, thread="t", metadata={f"long {number}": "x" * (THREAD_METADATA_LENGTH // 3)})
        assert message.metadata == (await store.get(TENANT, message.id)).metadata
    assert set(await metadata_of(store, "t")) == {"first", "long 0", "long 1"}
    await add(store, thread="t", metadata={"first": 2, "long 0": None})
    assert set(await metadata_of(store, "t")) == {"first", "long 1"}
    assert (await metadata_of(store, "t"))["first"] == 2


async def test_each_tenant_has_its_own_thread(store: Store) -> None:
    await add(store, thread="t", metadata={"whose": "ours"}, thread_name="ours")
    await add(store, thread="t", metadata={"whose": "theirs"}, tenant=OTHER_TENANT, thread_name="theirs")
    assert await metadata_of(store, "t") == {"whose": "ours"}
    assert await metadata_of(store, "t", OTHER_TENANT) == {"whose": "theirs"}


# Options, which may be long, are no part of lists


async def test_lists_do_not_read_options(store: Store) -> None:
    options = MessageOptions(max_attempts=7, run=RunInput(input={"image": "x" * 1_000_000}))
    messages = [await add(store, thread="t", options=options) for _ in range(12)]
    lists = [
        await store.list_messages(TENANT, MessageFilter(), Page(20)),
        await store.list_messages(TENANT, MessageFilter(thread_id="t"), Page(20)),
        await store.list_messages(TENANT, MessageFilter(states=frozenset({messages[0].state})), Page(20)),
        await thread_messages(store, "t"),
        list((await store.summary(TENANT, limit=20)).queued),
    ]
    for found in lists:
        assert len(found) == 12  # options do not count for the length of a page
        assert all(message.options == MessageOptions() for message in found)


async def test_single_messages_have_their_options(store: Store) -> None:
    options = MessageOptions(max_attempts=7, run=RunInput(input={"image": "x" * 1_000}))
    message = await add(store, options=options)
    assert (message.options, (await store.get(TENANT, message.id)).options) == (options, options)
    assert (await store.reprioritize(TENANT, message.id, message.priority)).options == options
    (claimed,) = await claim(store)
    assert claimed.message.options == options
    assert (await store.cancel(TENANT, message.id, running=True)).options == options
