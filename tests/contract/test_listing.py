"""How messages are found: by filter and cursor, and the head of a thread."""

from typing import Any

import pytest

from app.models.attempts import Failed, Outcome
from app.models.messages import Message, MessageFilter, MessageState, Page, Priority
from app.models.visibility import Visibility
from app.store.limits import PAGE_TEXT_LENGTH
from app.store.ports import Store
from app.store.redis import queries as redis_queries
from app.store.sql import reads, scanning
from tests.clock import ManualClock
from tests.contract.builders import (
    CANCELLED,
    DONE,
    ENDS,
    FAILED,
    HIGH,
    INTERRUPTED,
    LOW,
    NORMAL,
    OTHER_TENANT,
    OUTCOMES,
    TENANT,
    add,
    add_all,
    cancel_running,
    claim_one,
    dead_letter,
    drain,
    interrupt,
    listed,
    new,
    requeue,
    resume,
    start,
)

EVERYTHING = MessageFilter()


async def paged(store: Store, chosen: MessageFilter, limit: int) -> list[Message]:
    """All that is meant, page by page with the cursor of the last one seen."""
    found: list[Message] = []
    cursor = None
    while part := await store.list_messages(TENANT, chosen, Page(limit, cursor)):
        assert len(part) <= limit
        found += part
        cursor = (part[-1].number, "")
    return found


async def one_of_each_state(store: Store) -> dict[MessageState, str]:
    """A message in each state, in this order of accepting."""
    ids = {}
    for state, outcome in (
        (MessageState.COMPLETED, DONE),
        (MessageState.FAILED, FAILED),
        (MessageState.CANCELLED, CANCELLED),
        (MessageState.INTERRUPTED, INTERRUPTED),
    ):
        lease = await start(store, thread=state.value)
        await store.finish(lease, outcome)
        ids[state] = lease.message_id
    ids[MessageState.PROCESSING] = (await start(store, thread="processing")).message_id
    ids[MessageState.QUEUED] = (await add(store, thread="queued")).id
    return ids


# Lists


async def test_an_empty_queue_has_nothing_to_list(store: Store) -> None:
    assert await store.list_messages(TENANT, EVERYTHING, Page(10)) == []


async def test_messages_are_listed_newest_first_whatever_their_times(store: Store, clock: ManualClock) -> None:
    ids = []
    for number in range(6):
        ids.append((await add(store, thread="t" if number % 2 else None, priority=list(Priority)[number % 3])).id)
        clock.advance(-1)
    assert await listed(store) == ids[::-1]


async def test_listed_messages_are_as_they_are_read(store: Store) -> None:
    ids = await one_of_each_state(store)
    for message in await store.list_messages(TENANT, EVERYTHING, Page(10)):
        assert message == await store.get(TENANT, ids[message.state])


@pytest.mark.parametrize("chosen", [EVERYTHING, MessageFilter(thread_id="t")], ids=["all", "thread"])
async def test_listed_messages_have_their_positions(store: Store, chosen: MessageFilter) -> None:
    for number in range(12):
        await add(store, thread="t", priority=list(Priority)[number % 3])
    await add(store, thread="t", delay_seconds=60)
    await add(store, delay_seconds=60)
    await claim_one(store)
    listed = await store.list_messages(TENANT, chosen, Page(20))
    assert {each.queue_position for each in listed} == {*range(12), None}
    assert listed == [await store.get(TENANT, each.id) for each in listed]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_have_no_gap_and_no_double(store: Store, limit: int) -> None:
    await add_all(store, *[new(str(number)) for number in range(20)])
    found = await paged(store, EVERYTHING, limit)
    assert [message.content for message in found] == [str(number) for number in reversed(range(20))]


async def test_new_messages_do_not_disturb_the_pages_behind(store: Store) -> None:
    ids = [(await add(store)).id for _ in range(6)]
    first = await store.list_messages(TENANT, EVERYTHING, Page(3))
    await add(store)
    rest = await store.list_messages(TENANT, EVERYTHING, Page(10, (first[-1].number, "")))
    assert [message.id for message in first + rest] == ids[::-1]


async def test_a_page_of_long_messages_ends_early_but_not_empty(store: Store) -> None:
    lengths = [1, PAGE_TEXT_LENGTH // 2, PAGE_TEXT_LENGTH // 2, 1, PAGE_TEXT_LENGTH + 1]
    ids = [(await add(store, "x" * length)).id for length in lengths]
    found: list[Message] = []
    sizes = []
    cursor = None
    while part := await store.list_messages(TENANT, EVERYTHING, Page(100, cursor)):
        found += part
        sizes.append(len(part))
        cursor = (part[-1].number, "")
    assert [message.id for message in found] == ids[::-1]
    assert sizes == [1, 3, 1]


async def test_messages_are_chosen_by_state(store: Store) -> None:
    ids = await one_of_each_state(store)
    for state, message_id in ids.items():
        assert await listed(store, states=frozenset({state})) == [message_id]
    two = frozenset({MessageState.QUEUED, MessageState.COMPLETED})
    assert await listed(store, states=two) == [ids[MessageState.QUEUED], ids[MessageState.COMPLETED]]
    assert await listed(store, states=frozenset(MessageState)) == await listed(store)
    assert await listed(store, states=frozenset()) == []
    assert await store.count_messages(TENANT, MessageFilter(states=frozenset()), most=100) == 0


async def test_messages_are_chosen_by_thread_agent_and_priority(store: Store) -> None:
    given = [
        new(thread="a", agent="chat", priority=LOW),
        new(thread="a", agent="other", priority=HIGH),
        new(thread="b", agent="chat", priority=HIGH),
        new(agent="chat", priority=NORMAL),
    ]
    first, second, third, fourth = [message.id for message in await add_all(store, *given)]
    assert await listed(store, thread_id="a") == [second, first]
    assert await listed(store, agent="chat") == [fourth, third, first]
    assert await listed(store, priority=HIGH) == [third, second]
    assert await listed(store, thread_id="a", agent="chat") == [first]
    assert await listed(store, thread_id="a", agent="chat", priority=HIGH) == []
    assert await listed(store, thread_id="c") == []
    assert await listed(store, thread_id="") == []


async def test_the_parts_of_a_filter_have_all_to_be_met(store: Store) -> None:
    failed = await dead_letter(store, thread="a")
    await dead_letter(store, thread="b")
    await add(store, thread="a")
    chosen: dict[str, Any] = {"states": frozenset({MessageState.FAILED}), "error_code": "agent_error", "thread_id": "a"}
    assert await listed(store, **chosen) == [failed.id]
    assert await listed(store, **chosen, fingerprint="another") == []
    assert await listed(store, error_code="agent_error", states=frozenset({MessageState.COMPLETED})) == []


async def test_a_chosen_list_is_paged_like_the_whole(store: Store) -> None:
    ids = []
    for number in range(30):
        message = await add(store, thread=f"t{number % 3}")
        if number % 3 == 1:
            ids.append(message.id)
    for limit in (1, 3, 10, 100):
        found = await paged(store, MessageFilter(thread_id="t1"), limit)
        assert [message.id for message in found] == ids[::-1]


async def test_many_failed_among_many_others_are_paged(store: Store) -> None:
    failed = []
    for number in range(12):
        lease = await start(store)
        await store.finish(lease, FAILED if number % 3 else DONE)
        if number % 3:
            failed.append(lease.message_id)
    for limit in (1, 3, 100):
        found = await paged(store, MessageFilter(states=frozenset({MessageState.FAILED})), limit)
        assert [message.id for message in found] == failed[::-1]


async def test_a_filter_follows_every_change(store: Store) -> None:
    async def where(message_id: str) -> list[str]:
        return [state for state in MessageState if message_id in await listed(store, states=frozenset({state}))]

    message = await add(store)
    assert await where(message.id) == ["queued"]
    lease = await claim_one(store)
    assert await where(message.id) == ["processing"]
    await store.finish(lease, INTERRUPTED)
    assert await where(message.id) == ["interrupted"]
    await resume(store, await store.get(TENANT, message.id))
    assert await where(message.id) == ["queued"]
    await store.finish(await claim_one(store), FAILED)
    assert await where(message.id) == ["failed"]
    await requeue(store, message.id)
    assert await where(message.id) == ["queued"]
    await store.reprioritize(TENANT, message.id, HIGH)
    assert (await listed(store, priority=HIGH), await listed(store, priority=NORMAL)) == ([message.id], [])
    await cancel_running(store, message.id)
    assert await where(message.id) == ["cancelled"]


async def test_a_requeued_message_is_listed_where_its_new_number_is(store: Store) -> None:
    failed = await dead_letter(store)
    other = await add(store)
    assert await listed(store) == [other.id, failed.id]
    await requeue(store, failed.id)
    assert await listed(store) == [failed.id, other.id]


async def test_deleted_messages_are_listed_no_more(store: Store, clock: ManualClock) -> None:
    await drain(store)
    old = await dead_letter(store)
    purged = await dead_letter(store)
    await store.purge(TENANT, [purged.id])
    clock.advance(60)
    young = await add(store)
    await store.prune_messages(older_than_seconds=1, limit=10)
    assert old.id not in await listed(store)
    assert await listed(store) == [young.id]
    assert await listed(store, states=frozenset({MessageState.FAILED})) == []


async def test_each_tenant_lists_its_own(store: Store) -> None:
    ours = await dead_letter(store, thread="t")
    theirs = await dead_letter(store, thread="t", tenant=OTHER_TENANT)
    for fields in ({}, {"thread_id": "t"}, {"states": frozenset({MessageState.FAILED})}, {"error_code": "agent_error"}):
        assert await listed(store, **fields) == [ours.id]
        assert await listed(store, OTHER_TENANT, **fields) == [theirs.id]
    assert await listed(store, "nobody") == []
    behind = Page(10, (2**60, ""))
    assert [m.id for m in await store.list_messages(TENANT, EVERYTHING, behind)] == [ours.id]


# The head of a thread


async def test_a_thread_without_unfinished_messages_has_no_head(store: Store) -> None:
    assert await store.get_head(TENANT, "t") is None
    for outcome in ENDS:
        await store.finish(await start(store, thread="t"), outcome)
    assert await store.get_head(TENANT, "t") is None


@pytest.mark.parametrize("outcome", [None, *OUTCOMES], ids=lambda outcome: type(outcome).__name__)
async def test_the_head_is_the_first_that_is_unfinished(store: Store, outcome: Outcome | None) -> None:
    first = await add(store, thread="t")
    second = await add(store, thread="t", priority=HIGH)
    await add(store, thread="t", priority=HIGH)
    assert await head_id(store) == first.id
    lease = await claim_one(store)
    if outcome is not None:
        await store.finish(lease, outcome)
    assert await head_id(store) == (second.id if outcome in ENDS else first.id)


async def head_id(store: Store, tenant: str = TENANT) -> str | None:
    head = await store.get_head(tenant, "t")
    return None if head is None else head.id


async def test_the_head_is_told_as_it_is_but_without_its_position(store: Store) -> None:
    message = await add(store, thread="t", delay_seconds=60)
    assert await store.get_head(TENANT, "t") == message
    await store.cancel(TENANT, message.id)
    message = await add(store, thread="t")
    assert await store.get_head(TENANT, "t") == message._replace(queue_position=None)
    await claim_one(store)
    assert await store.get_head(TENANT, "t") == await store.get(TENANT, message.id)


async def test_the_head_follows_cancels_and_requeues(store: Store) -> None:
    asking = await interrupt(store, thread="t")
    behind = await add(store, thread="t")
    assert await head_id(store) == asking.id
    await cancel_running(store, asking.id)
    assert await head_id(store) == behind.id
    await store.finish(await claim_one(store), FAILED)
    last = await add(store, thread="t")
    await requeue(store, behind.id)
    assert await head_id(store) == last.id
    await drain(store)
    assert await head_id(store) is None


async def test_each_tenant_has_its_own_head(store: Store) -> None:
    ours = await add(store, thread="t")
    theirs = await add(store, thread="t", tenant=OTHER_TENANT)
    assert (await head_id(store), await head_id(store, OTHER_TENANT)) == (ours.id, theirs.id)
    assert await head_id(store, "nobody") is None


# Long lists: many short looks


async def mixed(store: Store) -> None:
    """Messages in every state, of several agents, priorities and threads, with gaps where some were deleted."""
    for number in range(40):
        outcome = (DONE, FAILED, CANCELLED, INTERRUPTED, Failed("Oh.", "timeout", "slow"))[number % 7 % 5]
        thread = f"t{number}" if outcome is INTERRUPTED else (None, "long", "short")[number % 3 % (2 + (number < 9))]
        fields = {"thread": thread, "priority": list(Priority)[number % 3], "agent": ("chat", "rare")[number % 11 == 0]}
        lease = await start(store, **fields)
        await store.finish(lease, outcome)
        if number in (8, 22, 29) and (await store.get(TENANT, lease.message_id)).state is MessageState.FAILED:
            await store.purge(TENANT, [lease.message_id])
    failed, *_ = await listed(store, states=frozenset({MessageState.FAILED}), thread_id="long")
    await requeue(store, failed)
    await claim_one(store, agents=["chat", "rare"])
    for number in range(12):
        await add(store, thread=("long", "short", None)[number % 3], agent=("chat", "rare")[number % 5 == 0])
    await add(store, tenant=OTHER_TENANT, thread="long")


FILTERS: list[dict[str, Any]] = [
    {},
    *({"states": frozenset({state})} for state in MessageState),
    {"states": frozenset({MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED})},
    {"states": frozenset({MessageState.COMPLETED, MessageState.CANCELLED})},
    {"states": frozenset({MessageState.FAILED, MessageState.QUEUED})},
    {"states": frozenset()},
    *({"thread_id": thread} for thread in ("long", "short", "t3", "nowhere")),
    {"agent": "rare"},
    {"agent": "nobody"},
    {"priority": Priority.HIGH},
    {"error_code": "timeout"},
    {"error_code": "nothing"},
    {"fingerprint": "slow"},
    {"thread_id": "long", "states": frozenset({MessageState.FAILED})},
    {"thread_id": "long", "error_code": "timeout", "priority": Priority.LOW},
    {"agent": "rare", "states": frozenset({MessageState.QUEUED})},
    {"agent": "rare", "fingerprint": "slow"},
]


@pytest.mark.parametrize("few", [0, 5_000], ids=["many unfinished", "few unfinished"])
@pytest.mark.parametrize("window", [1, 7])
async def test_every_filter_finds_all_that_fits_whatever_a_look_takes(
    store: Store, monkeypatch: pytest.MonkeyPatch, window: int, few: int
) -> None:
    monkeypatch.setattr(scanning, "FIRST_WINDOW", window)
    monkeypatch.setattr(scanning, "LARGEST_WINDOW", window)
    monkeypatch.setattr(redis_queries, "SCAN_LENGTH", window)
    monkeypatch.setattr(reads, "FEW_UNFINISHED", few)
    await mixed(store)
    everything = await paged(store, EVERYTHING, 100)
    numbers = [message.number for message in everything]
    assert numbers == sorted(numbers, reverse=True)
    assert {message.state for message in everything} == set(MessageState)
    for fields in FILTERS:
        wanted = [
            message.id
            for message in everything
            if all(
                message.state in value if name == "states" else getattr(message, name) == value
                for name, value in fields.items()
            )
        ]
        for limit in (3, 100):
            assert [message.id for message in await paged(store, MessageFilter(**fields), limit)] == wanted, fields


# Counts


async def test_a_count_is_the_length_of_the_list(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FIRST_WINDOW", 2)
    monkeypatch.setattr(scanning, "LARGEST_WINDOW", 2)
    monkeypatch.setattr(redis_queries, "SCAN_LENGTH", 2)
    await one_of_each_state(store)
    await add(store, thread="t", priority=HIGH)
    await add(store, thread="t", metadata={"team": "red"})
    await add(store, thread="u", subject="ann")
    await add(store, tenant=OTHER_TENANT)
    filters = [EVERYTHING, *(MessageFilter(states=frozenset({state})) for state in MessageState)]
    filters += [MessageFilter(thread_id="t"), MessageFilter(priority=HIGH), MessageFilter(metadata={"team": "red"})]
    filters += [MessageFilter(error_code=FAILED.code), MessageFilter(visible=Visibility(subject="ann"))]
    for few_unfinished in (0, 5_000):
        monkeypatch.setattr(reads, "FEW_UNFINISHED", few_unfinished)
        for chosen in filters:
            expected = len(await paged(store, chosen, 100))
            assert await store.count_messages(TENANT, chosen, most=100) == expected > 0, chosen
            assert await store.count_messages(TENANT, chosen, most=1) == 1


async def test_a_count_ends_at_its_limit(store: Store) -> None:
    for _ in range(5):
        await add(store)
    assert [await store.count_messages(TENANT, EVERYTHING, most=most) for most in (4, 5, 6)] == [4, 5, 5]
