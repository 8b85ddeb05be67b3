"""Messages and threads belong to end users of a tenant; further narrowed callers see fewer of them."""

import asyncio

import pytest

from app.errors import QueueFull, ThreadNotFound
from app.errors.limits import TenantQueueFull
from app.models.messages import IfBusy, MessageFilter, MessageState, Page
from app.models.threads import ForkSource, NewThread, ThreadFilter
from app.models.visibility import ThreadNarrowing, Visibility
from app.store.parts import CLEARED_AT_ONCE
from app.store.ports import Store
from tests.contract.builders import (
    ALL,
    FAILED,
    OTHER_TENANT,
    TENANT,
    add,
    add_all,
    all_threads,
    dead_letter,
    new,
    request_key,
    requeue,
    start,
    state_of,
    thread_messages,
)

OURS, THEIRS = Visibility("ann"), Visibility("bob")


async def visible(store: Store, who: Visibility, **fields: object) -> list[str]:
    """The contents of the messages that this caller sees, the newest first."""
    found = await store.list_messages(TENANT, MessageFilter(visible=who, **fields), Page(ALL))  # type: ignore[arg-type]  # any fields of a filter
    return [message.content for message in found]


async def visible_threads(store: Store, who: Visibility) -> list[str]:
    return [thread.thread_id for thread in await store.list_threads(TENANT, Page(ALL), ThreadFilter(visible=who))]


async def test_a_message_keeps_its_subject_and_its_thread_has_it_too(store: Store) -> None:
    for thread in (None, "t"):
        message = await add(store, thread=thread, subject="ann")
        assert message.subject == "ann"
        assert (await store.get(TENANT, message.id)) == message._replace(
            queue_position=(await store.get(TENANT, message.id)).queue_position
        )
    assert (await store.get_thread(TENANT, "t")).subject == "ann"
    assert [thread.subject for thread in await all_threads(store)] == ["ann"]
    assert (await add(store)).subject is None


@pytest.mark.parametrize("if_busy", list(IfBusy))
async def test_a_thread_takes_messages_of_its_own_subject_only(store: Store, if_busy: IfBusy) -> None:
    waiting = await add(store, thread="t", subject="ann")
    await add(store, thread="without")
    before = await all_threads(store)
    for thread, subject in (("t", "bob"), ("t", "ANN"), ("t", ""), ("without", "ann")):
        with pytest.raises(ThreadNotFound) as refused:
            await add(store, thread=thread, subject=subject, if_busy=if_busy)
        assert str(refused.value) == str(ThreadNotFound(thread))
    assert await all_threads(store) == before
    assert await state_of(store, waiting.id) is MessageState.QUEUED
    assert (await add(store, thread="t", subject="bob", tenant=OTHER_TENANT)).thread_number == 1


async def test_a_message_without_a_subject_gets_that_of_its_thread(store: Store) -> None:
    await add(store, thread="t", subject="ann")
    message = await add(store, thread="t")
    assert message.subject == "ann" == (await store.get(TENANT, message.id)).subject
    assert await visible(store, OURS) == ["Hello", "Hello"]


async def test_a_batch_is_refused_whole_for_one_foreign_thread(store: Store) -> None:
    await add(store, thread="t", subject="ann")
    for batch in (
        [new(subject="bob"), new(thread="t", subject="bob")],
        [new(thread="new", subject="ann"), new(thread="new", subject="bob")],
        [new(thread="new"), new(thread="new", subject="bob")],
    ):
        with pytest.raises(ThreadNotFound):
            await add_all(store, *batch)
    assert len(await visible(store, Visibility())) == 1
    together = await add_all(store, new(thread="new", subject="bob"), new(thread="new", subject="bob"))
    assert [each.thread_number for each in together] == [1, 2]


async def test_of_two_subjects_only_one_gets_a_new_thread(store: Store, other_store: Store) -> None:
    """One of two subjects gets the thread although both submit at once, in one process or in two."""
    for place in range(5):
        tries = await asyncio.gather(
            *(
                each.add([new(thread=f"t{place}", subject=subject)], max_queued=ALL)
                for each, subject in ((store, "ann"), (other_store, "bob"), (store, "bob"), (store, "ann"))
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, ThreadNotFound) for each in tries) == 2, tries
        owner = (await store.get_thread(TENANT, f"t{place}")).subject
        assert {each.subject for each in await thread_messages(store, f"t{place}")} == {owner}


async def test_nothing_is_cancelled_for_a_message_that_is_refused_as_foreign(store: Store) -> None:
    """A long thread is cleared in transactions of their own, before the message is stored."""
    await add_all(store, *(new(thread="t", subject="ann") for _ in range(3 * CLEARED_AT_ONCE)))
    for if_busy in (IfBusy.INTERRUPT, IfBusy.ROLLBACK):
        with pytest.raises(ThreadNotFound):
            await add(store, thread="t", subject="bob", if_busy=if_busy)
    assert (await store.get_thread(TENANT, "t")).states[MessageState.QUEUED] == 3 * CLEARED_AT_ONCE


async def test_a_replay_is_answered_with_its_subject(store: Store) -> None:
    wanted = [new(thread="t", subject="ann")]
    first = await store.add(wanted, max_queued=ALL, key=request_key())
    again = await store.add(wanted, max_queued=ALL, key=request_key())
    assert again.replayed
    assert again.messages == first.messages
    assert first.messages[0].subject == "ann"


@pytest.mark.parametrize("thread", [None, "t"])
async def test_a_requeued_message_keeps_its_subject(store: Store, thread: str | None) -> None:
    failed = await dead_letter(store, FAILED, thread=thread, subject="ann")
    (again,) = await requeue(store, failed.id)
    assert again.subject == "ann" == (await store.get(TENANT, failed.id)).subject


async def test_a_fork_has_the_subject_of_its_source(store: Store) -> None:
    await store.draft_thread(TENANT, "fork")
    source = ForkSource(thread_id="t", checkpoint_id="c", message_id=None, agent="chat")
    assert (await store.publish_thread(TENANT, "fork", NewThread(source, subject="ann"))).subject == "ann"
    with pytest.raises(ThreadNotFound):
        await add(store, thread="fork", subject="bob")
    assert (await add(store, thread="fork")).subject == "ann"
    assert await visible_threads(store, OURS) == ["fork"]
    assert await visible_threads(store, THEIRS) == []


async def test_the_id_of_a_deleted_thread_is_free_for_another_subject(store: Store) -> None:
    lease = await start(store, thread="t", subject="ann")
    await store.finish(lease, FAILED)
    await store.delete_thread(TENANT, "t")
    await store.settle_dropped_memories(await store.list_dropped_memories(ALL))
    assert (await add(store, thread="t", subject="bob")).subject == "bob"
    assert (await store.get_thread(TENANT, "t")).subject == "bob"


async def test_lists_show_what_the_caller_may_see(store: Store) -> None:
    for content, thread, subject, agent in (
        ("1", "a/1", "ann", "chat"),
        ("2", "a/2", "ann", "other"),
        ("3", None, "ann", "chat"),
        ("4", "b/1", "bob", "chat"),
        ("5", "c", None, "chat"),
    ):
        await add(store, content, thread=thread, subject=subject, agent=agent)
    await add(store, "6", thread="a/1", subject="ann", tenant=OTHER_TENANT)
    some = ThreadNarrowing(frozenset({"a/2", "c"}), "b/")
    for who, messages, threads in (
        (Visibility(), "54321", ["c", "b/1", "a/2", "a/1"]),
        (OURS, "321", ["a/2", "a/1"]),
        (THEIRS, "4", ["b/1"]),
        (Visibility("nobody"), "", []),
        (Visibility(threads=some), "542", ["c", "b/1", "a/2"]),
        (Visibility("ann", some), "2", ["a/2"]),
        (Visibility(threads=ThreadNarrowing(prefix="a/")), "21", ["a/2", "a/1"]),
        (Visibility(threads=ThreadNarrowing()), "", []),
        (Visibility(threads=ThreadNarrowing(prefix="%")), "", []),
        (Visibility(agents=frozenset({"other"})), "2", ["c", "b/1", "a/2", "a/1"]),
        (Visibility("ann", agents=frozenset({"chat"})), "31", ["a/2", "a/1"]),
        (Visibility(agents=frozenset()), "", ["c", "b/1", "a/2", "a/1"]),
    ):
        assert "".join(await visible(store, who)) == messages, who
        assert "".join(await visible(store, who, states=frozenset({MessageState.QUEUED}))) == messages, who
        assert sorted(await visible_threads(store, who)) == sorted(threads), who
    assert await visible(store, OURS, thread_id="a/1") == ["1"]
    assert await visible(store, THEIRS, thread_id="a/1") == []
    assert await visible(store, OURS, states=frozenset({MessageState.FAILED})) == []
    found = await store.list_thread_messages(TENANT, "a/1", after=0, limit=ALL, agents=frozenset({"other"}))
    assert found == []
    assert len(await store.list_thread_messages(TENANT, "a/1", after=0, limit=ALL, agents=frozenset({"chat"}))) == 1


async def test_dead_letters_are_listed_to_their_own_subject(store: Store) -> None:
    for subject in ("ann", "bob"):
        await dead_letter(store, FAILED, content=subject, subject=subject)
    assert await visible(store, OURS, states=frozenset({MessageState.FAILED})) == ["ann"]
    assert await visible(store, THEIRS, error_code="agent_error") == ["bob"]


async def test_pages_of_a_subject_have_no_gaps(store: Store) -> None:
    """A page is full although many messages of others are in between."""
    for part in range(3):
        await add_all(store, *(new(str(n), thread=f"b{n % 7}", subject="bob") for n in range(700)))
        await add_all(store, *(new(f"{part}.{n}", thread=f"a{part}{n}", subject="ann") for n in range(3)))
    found: list[str] = []
    cursor = None
    while page := await store.list_messages(TENANT, MessageFilter(visible=OURS), Page(2, cursor)):
        found += [message.content for message in page]
        cursor = (page[-1].number, "")
    assert found == [f"{part}.{n}" for part in (2, 1, 0) for n in (2, 1, 0)]
    threads: list[str] = []
    cursor = None
    while listed := await store.list_threads(TENANT, Page(2, cursor), ThreadFilter(visible=OURS)):
        threads += [thread.thread_id for thread in listed]
        cursor = (round(listed[-1].last_activity.timestamp() * 1000), listed[-1].thread_id)
    assert sorted(threads) == sorted(f"a{part}{n}" for part in range(3) for n in range(3))


async def test_the_queue_of_a_tenant_has_a_limit_of_its_own(store: Store) -> None:
    await add(store, tenant=OTHER_TENANT)
    kept = await store.add([new(), new(thread="t")], max_queued=9, max_queued_of_tenant=2)
    for wanted in ([new()], [new(thread="t", if_busy=IfBusy.INTERRUPT)]):
        with pytest.raises(TenantQueueFull, match="2 messages of this tenant"):
            await store.add(wanted, max_queued=9, max_queued_of_tenant=2)
    theirs = await store.add([new(tenant=OTHER_TENANT)], max_queued=9, max_queued_of_tenant=2)
    assert len(theirs.messages) == 1
    with pytest.raises(QueueFull, match="maximum of 4 messages\\."):
        await store.add([new(tenant="third")], max_queued=4, max_queued_of_tenant=2)
    await store.cancel(TENANT, kept.messages[0].id)
    await store.add([new(delay_seconds=100)], max_queued=9, max_queued_of_tenant=2)
    with pytest.raises(TenantQueueFull):
        await store.add([new()], max_queued=9, max_queued_of_tenant=2)


async def test_a_running_message_does_not_count_towards_the_limit_of_its_tenant(store: Store) -> None:
    await start(store)
    await store.add([new()], max_queued=9, max_queued_of_tenant=1)
    with pytest.raises(TenantQueueFull):
        await store.add([new()], max_queued=9, max_queued_of_tenant=1)
