"""Messages and threads are searched for a text in any case, a bounded number in each request."""

from dataclasses import replace

import pytest

from app import list_manager
from app.list_manager import ListManager
from app.models.messages import MessageFilter, MessageState, Page, Priority
from app.models.threads import EVERY_THREAD, LATEST_FIRST
from app.policy.text_search import SEARCHED_LENGTH, TextSearch
from app.store.ports import Store
from app.store.sql import scanning
from tests.contract.builders import CALLER, FAILED, OTHER_TENANT, TENANT, add, start

ALL_STATES = MessageFilter()


async def contents(store: Store, text: str, chosen: MessageFilter = ALL_STATES) -> list[str]:
    found = await ListManager(store).search_messages(CALLER, chosen, Page(100), None, text)
    assert found.cursor is None
    return [message.content for message in found.matches]


async def test_messages_are_found_by_text_and_metadata_in_any_case(store: Store) -> None:
    await add(store, "Main Straße 5")
    await add(store, "by value", metadata={"street": "STRASSE", "straße": "no", "n": 42, "on": True})
    await add(store, "x" * SEARCHED_LENGTH + " strasse")
    await add(store, "Straße of others", tenant=OTHER_TENANT)
    assert await contents(store, "strasse") == ["by value", "Main Straße 5"]
    assert [await contents(store, text) for text in ("42", "tru", "nothing")] == [["by value"], ["by value"], []]


async def test_a_search_keeps_to_its_filter(store: Store) -> None:
    lease = await start(store, content="broken")
    await store.finish(lease, FAILED)
    await add(store, "broken too")
    assert await contents(store, "broken", MessageFilter(states=frozenset({MessageState.FAILED}))) == ["broken"]


async def test_threads_are_found_by_id_name_and_metadata(store: Store) -> None:
    await add(store, thread="Trip-1")
    await add(store, thread="2", thread_name="A trip to Oslo")
    await add(store, thread="3", metadata={"kind": "TRIP"})
    await add(store, "a trip", thread="4")
    found = await ListManager(store).search_threads(CALLER, EVERY_THREAD, Page(100), None, "trip", LATEST_FIRST)
    assert ({thread.thread_id for thread in found.matches}, found.cursor) == ({"Trip-1", "2", "3"}, None)


async def test_a_request_compares_a_bounded_number_and_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_manager, "SEARCHED_AT_ONCE", 2)
    monkeypatch.setattr(list_manager, "MAX_SEARCHED", 4)
    for n in range(9):
        await add(store, '"' if n in (0, 1, 8) else "hay", thread=f"{n}")  # engines do not look for quotes
    lists, cursor = ListManager(store), None
    pages: list[int] = []
    while not pages or cursor is not None:
        found = await lists.search_messages(CALLER, ALL_STATES, Page(1, cursor), None, '"')
        pages.append(len(found.matches))
        cursor = found.cursor
    assert pages == [1, 0, 1, 1, 0], "the second request looks at four messages, and finds none"
    threads = await lists.search_threads(CALLER, EVERY_THREAD, Page(9), None, "0", LATEST_FIRST)
    assert (threads.matches, threads.cursor is None) == ([], False)
    assert len(await store.list_messages(TENANT, ALL_STATES, Page(100))) == 9


@pytest.mark.parametrize(
    "folded", ["needle", "gro\u00dfe", "\u6771\u4eac", "k\u00f6ln", "1 2", "true", "o'brien%_", "efi"]
)
async def test_engines_leave_out_only_what_does_not_match(store: Store, folded: str) -> None:
    """Texts in which folding the case gives ASCII characters, or JSON escapes some, are found like others."""
    texts = [
        "NEEDLE", "needl", "nee\\dle", "GROSSE", "gro\u00dfe", "Gro\u017f\u017fe",
        "\u6771\u4eac\u90fd", "\u212a\u00f6ln", "K\u00d6LN", "1 2", "12", "TRUE", "O'Brien%_", "oxbrien%_", "e\ufb01x",
        "\u00e9", "x" * SEARCHED_LENGTH + " needle", "x" * 990 + " needle",
    ]  # fmt: skip
    for text in texts:
        await add(store, text)
        await add(store, "in metadata", metadata={"text": text, "on": True, "n": 12})
    wanted = TextSearch(folded)
    every = await store.list_messages(TENANT, ALL_STATES, Page(100))
    matching = {message.id for message in every if wanted.matches_message(message)}
    found = await ListManager(store).search_messages(CALLER, ALL_STATES, Page(100), None, folded)
    assert {message.id for message in found.matches} == matching
    if folded == "needle":
        hinted = await store.list_messages(TENANT, MessageFilter(hint=wanted.hint), Page(100))
        assert len(hinted) < len(every) * 0.75, "the engine leaves out what does not match"


async def test_a_search_ends_after_its_time_and_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_manager, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(scanning, "FIRST_WINDOW", 2)
    monkeypatch.setattr("app.store.redis.queries.HINTED_LENGTH", 2)
    wanted = await add(store, "needle")
    for _ in range(7):
        await add(store, "hay")
    lists, cursor, requests = ListManager(store), None, 0
    found: list[str] = []
    while not requests or cursor is not None:
        part = await lists.search_messages(CALLER, ALL_STATES, Page(9, cursor), None, "needle")
        found += [message.id for message in part.matches]
        cursor, requests = part.cursor, requests + 1
    assert found == [wanted.id]
    assert requests >= 4
    assert len(await store.list_messages(TENANT, ALL_STATES, Page(100))) == 8


async def test_matches_have_the_positions_of_a_list(store: Store) -> None:
    await start(store, content="needle runs")
    delayed = await add(store, "needle later", delay_seconds=60)
    await add(store, "hay")
    await add(store, "needle", priority=Priority.HIGH)
    await add(store, "needle")
    listed = {each.id: each.queue_position for each in await store.list_messages(TENANT, ALL_STATES, Page(100))}
    found = await ListManager(store).search_messages(CALLER, ALL_STATES, Page(100), None, "needle")
    assert [each.queue_position for each in found.matches] == [2, 0, None, None]
    assert {each.id: each.queue_position for each in found.matches}.items() <= listed.items()
    assert listed[delayed.id] is None
    unplaced = await store.list_messages(TENANT, ALL_STATES, Page(100), positions=False)
    assert [each.id for each in unplaced] == list(listed)
    assert [each.queue_position for each in await store.with_positions(OTHER_TENANT, unplaced)] == [None] * 5
    assert await store.with_positions(TENANT, []) == []


async def test_a_count_by_the_state_alone_is_exact_above_the_limit_of_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_manager, "MAX_COUNTED", 1)
    await start(store, content="runs")
    for content in ("a", "b", "c"):
        await add(store, content)
    await add(store, tenant=OTHER_TENANT)
    lists, queued = ListManager(store), MessageFilter(states=frozenset({MessageState.QUEUED}))
    assert await lists.count_messages(CALLER, queued, None) == (3, True)
    assert await lists.count_messages(CALLER, ALL_STATES, None) == (4, True)
    assert await lists.count_messages(CALLER, replace(queued, priority=Priority.NORMAL), None) == (1, False)
    assert await lists.count_messages(CALLER, queued, "nobody") == (0, True)
    narrowed = CALLER._replace(subject="nobody")
    assert await lists.count_messages(narrowed, queued, None) == (0, True)
