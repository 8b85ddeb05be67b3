"""Aliases: further ids of a message, given with its submit or with an answer."""

import asyncio

import pytest

from app.errors import AliasTaken, NotInterrupted, QueueFull, ThreadBusy
from app.models.events import EventType
from app.models.messages import Alias, IfBusy, Message, MessageState
from app.store import parts
from app.store.limits import KEY_SECONDS
from app.store.ports import Store
from app.store.postgres import control as postgres_control
from app.store.redis import accept as redis_accept
from app.store.sqlite import control as sqlite_control
from tests.clock import ManualClock
from tests.contract.builders import (
    ANSWER,
    DONE,
    FAILED,
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    add,
    add_all,
    claim_one,
    dead_letter,
    interrupt,
    listed,
    log,
    new,
    request_key,
    requeue,
    seen,
    start,
    state_of,
)


async def named(store: Store, alias: str, tenant: str = TENANT) -> str | None:
    """The id of the message that an alias names."""
    found = await store.find_alias(tenant, alias)
    return None if found is None else found.message_id


async def resume_as(store: Store, asking: Message, alias: str | None) -> Message:
    """Answer a message under an alias."""
    accepted = await store.resume(asking.tenant, asking.id, asking.fence, ANSWER, alias=alias)
    return accepted.messages[0]


# Aliases of a submit


async def test_the_aliases_of_a_message_are_listed_in_the_order_of_their_events(store: Store) -> None:
    asking = await interrupt(store, thread="t", aliases=("b", "ä", "a"))
    await add(store, aliases=("another's",))
    await resume_as(store, asking, "0 of the answer")
    (resumed,) = [event.id for event in await log(store, asking.id) if event.type is EventType.RESUMED]
    expected = [("a", 0), ("b", 0), ("ä", 0), ("0 of the answer", resumed)]
    assert list((await store.list_aliases(TENANT, asking.id)).items()) == expected
    assert await store.list_aliases(OTHER_TENANT, asking.id) == {}
    assert await store.list_aliases(TENANT, "unknown") == {}
    assert await store.list_aliases(TENANT, (await add(store)).id) == {}


async def test_an_alias_names_its_message(store: Store) -> None:
    message = await add(store, thread="t", aliases=("run 1", "run ü 🙂"))
    other = await add(store, aliases=("run 2",))
    for alias in ("run 1", "run ü 🙂"):
        assert await store.find_alias(TENANT, alias) == Alias(message.id, 0)
    assert await named(store, "run 2") == other.id
    assert await named(store, "run") is None
    assert await named(store, message.id) is None
    assert await store.get(TENANT, message.id) == message


async def test_the_same_alias_twice_is_one(store: Store) -> None:
    message = await add(store, aliases=("a", "a"))
    assert await named(store, "a") == message.id


async def test_each_tenant_has_its_own_aliases(store: Store) -> None:
    ours = await add(store, aliases=("a",))
    theirs = await add(store, aliases=("a",), tenant=OTHER_TENANT)
    assert (await named(store, "a"), await named(store, "a", OTHER_TENANT)) == (ours.id, theirs.id)
    assert await named(store, "a", "nobody") is None


async def test_an_alias_of_another_message_is_refused_and_nothing_stored(store: Store, clock: ManualClock) -> None:
    first = await add(store, thread="t", aliases=("a",))
    before = await seen(store, first.id), await store.get_thread(TENANT, "t")
    clock.advance(1)
    with pytest.raises(AliasTaken) as refused:
        await add_all(store, new(thread="t", metadata={"n": 1}), new(thread="t", aliases=("b", "a")), new())
    assert refused.value.code == "alias_taken"
    assert "'a'" in str(refused.value)
    assert (await seen(store, first.id), await store.get_thread(TENANT, "t")) == before
    assert await listed(store) == [first.id]
    assert await named(store, "b") is None
    assert (await add(store, thread="t", aliases=("b",))).thread_number == 2


async def test_two_messages_of_one_call_cannot_share_an_alias(store: Store) -> None:
    with pytest.raises(AliasTaken):
        await add_all(store, new(aliases=("a",)), new(aliases=("b", "a")))
    assert await listed(store) == []
    assert (await named(store, "a"), await named(store, "b")) == (None, None)


async def test_the_id_of_another_message_is_no_alias(store: Store) -> None:
    first = await add(store)
    with pytest.raises(AliasTaken):
        await add(store, aliases=(first.id,))
    theirs = await add(store, aliases=(first.id,), tenant=OTHER_TENANT)
    assert await named(store, first.id, OTHER_TENANT) == theirs.id
    own = new()
    await add_all(store, own._replace(aliases=(own.id,)))


async def test_a_refused_message_takes_no_alias(store: Store) -> None:
    await add(store, thread="t")
    with pytest.raises(ThreadBusy):
        await add(store, thread="t", if_busy=IfBusy.REJECT, aliases=("a",))
    with pytest.raises(QueueFull):
        await add(store, aliases=("b",), max_queued=1)
    assert (await named(store, "a"), await named(store, "b")) == (None, None)


async def test_a_taken_alias_refuses_only_its_own_call(store: Store) -> None:
    await add(store, aliases=("a",))
    calls = [add(store, aliases=("a",) if n == 2 else (f"own {n}",) if n == 4 else ()) for n in range(6)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(reply, AliasTaken) for reply in replies] == [n == 2 for n in range(6)]
    assert len(await listed(store)) == 6


async def test_a_message_with_a_taken_alias_cancels_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, sqlite_control, postgres_control, redis_accept):
        monkeypatch.setattr(module, "CLEARED_AT_ONCE", 2)
    taken = await add(store, aliases=("a",))
    waiting = await add_all(store, *(new(thread="t") for _ in range(7)))
    with pytest.raises(AliasTaken):
        await add(store, thread="t", if_busy=IfBusy.INTERRUPT, aliases=("a",))
    assert [await state_of(store, each.id) for each in waiting] == [MessageState.QUEUED] * 7
    message = await add(store, thread="t", if_busy=IfBusy.INTERRUPT, aliases=("b",))
    assert [await state_of(store, each.id) for each in waiting] == [MessageState.CANCELLED] * 7
    assert (await named(store, "a"), await named(store, "b")) == (taken.id, message.id)


async def test_a_replay_has_the_message_that_took_the_alias(store: Store) -> None:
    given = new(aliases=("a",))
    (message,) = await add_all(store, given, key=request_key())
    again = await store.add([new(aliases=("a",))], max_queued=10, key=request_key())
    assert (again.replayed, [each.id for each in again.messages]) == (True, [message.id])
    assert await named(store, "a") == message.id
    assert await listed(store) == [message.id]


async def test_a_refused_request_leaves_its_key_free(store: Store) -> None:
    await add(store, aliases=("a",))
    with pytest.raises(AliasTaken):
        await add_all(store, new(aliases=("a",)), key=request_key())
    accepted = await store.add([new(aliases=("b",))], max_queued=10, key=request_key())
    assert not accepted.replayed


async def test_of_many_that_take_an_alias_at_once_one_is_accepted(store: Store, other_store: Store) -> None:
    calls = (
        add(each, thread=("t", None)[n % 2], aliases=("x", "y")[:: (1, -1)[n % 3 == 0]])
        for n, each in enumerate([store, other_store] * 10)
    )
    replies = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(reply, AliasTaken) for reply in replies) == 19
    (message_id,) = await listed(store)
    assert (await named(store, "x"), await named(store, "y")) == (message_id, message_id)


# Aliases of an answer


async def test_an_alias_of_an_answer_begins_with_the_event_resumed(store: Store) -> None:
    asking = await interrupt(store, aliases=("first run",))
    message = await resume_as(store, asking, "second run")
    assert message.state is MessageState.QUEUED
    (resumed,) = [event for event in await log(store, asking.id) if event.type is EventType.RESUMED]
    assert await store.find_alias(TENANT, "second run") == Alias(asking.id, resumed.id)
    assert await store.find_alias(TENANT, "first run") == Alias(asking.id, 0)


async def test_each_answer_may_have_its_own_alias(store: Store) -> None:
    asking = await interrupt(store)
    await resume_as(store, asking, "second")
    await store.finish(await claim_one(store), INTERRUPTED)
    asking = await store.get(TENANT, asking.id)
    await resume_as(store, asking, "third")
    found = [await store.find_alias(TENANT, alias) for alias in ("second", "third")]
    resumed = [event.id for event in await log(store, asking.id) if event.type is EventType.RESUMED]
    assert found == [Alias(asking.id, event_id) for event_id in resumed]


async def test_an_alias_that_names_the_message_already_stays_as_it_is(store: Store) -> None:
    asking = await interrupt(store, aliases=("a",))
    await resume_as(store, asking, "a")
    assert await store.find_alias(TENANT, "a") == Alias(asking.id, 0)


async def test_an_answer_under_an_alias_of_another_message_changes_nothing(store: Store) -> None:
    asking = await interrupt(store)
    other = await add(store, aliases=("a",))
    before = await seen(store, asking.id)
    for alias in ("a", other.id):
        with pytest.raises(AliasTaken):
            await resume_as(store, asking, alias)
    assert await seen(store, asking.id) == before
    await resume_as(store, asking, "b")
    assert await named(store, "b") == asking.id


async def test_an_answer_that_comes_too_late_takes_no_alias(store: Store) -> None:
    asking = await interrupt(store)
    await resume_as(store, asking, None)
    with pytest.raises(NotInterrupted):
        await resume_as(store, asking, "late")
    assert await named(store, "late") is None


async def test_a_replayed_answer_keeps_its_alias(store: Store) -> None:
    asking = await interrupt(store)
    for replayed in (False, True):
        accepted = await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=request_key(), alias="second")
        assert accepted.replayed is replayed
    assert await named(store, "second") == asking.id


async def test_of_an_answer_and_a_submit_with_one_alias_one_is_accepted(store: Store, other_store: Store) -> None:
    for turn in range(10):
        asking = await interrupt(store, thread=f"t{turn}")
        calls = [resume_as(store, asking, f"a{turn}"), add(other_store, thread=f"t{turn}", aliases=(f"a{turn}",))]
        replies = await asyncio.gather(*calls[:: (1, -1)[turn % 2]], return_exceptions=True)
        (accepted,) = [reply for reply in replies if isinstance(reply, Message)]
        assert sum(isinstance(reply, AliasTaken) for reply in replies) == 1
        assert await named(store, f"a{turn}") == accepted.id
        while await store.get_head(TENANT, f"t{turn}"):
            if (await state_of(store, asking.id)) is MessageState.INTERRUPTED:
                await store.cancel(TENANT, asking.id, running=True)
            else:
                await store.finish(await claim_one(store), DONE)


# Their end


async def test_aliases_are_kept_through_retries_and_requeues(store: Store) -> None:
    lease = await start(store, aliases=("a",))
    await store.finish(lease, FAILED)
    await requeue(store, lease.message_id)
    await store.finish(await claim_one(store), DONE)
    assert await store.find_alias(TENANT, "a") == Alias(lease.message_id, 0)


async def test_a_purge_deletes_the_aliases_of_the_message(store: Store) -> None:
    failed = await dead_letter(store, aliases=("a", "b"))
    kept = await dead_letter(store, aliases=("c",))
    await store.purge(TENANT, [failed.id])
    assert [await named(store, alias) for alias in "abc"] == [None, None, kept.id]
    again = await add(store, aliases=("a",))
    assert await named(store, "a") == again.id


async def test_pruning_deletes_the_aliases_of_the_message(store: Store, clock: ManualClock) -> None:
    asking = await interrupt(store, aliases=("a",))
    await resume_as(store, asking, "b")
    await store.finish(await claim_one(store), DONE)
    clock.advance(KEY_SECONDS)
    young = await add(store, aliases=("c",))
    assert await store.prune_logs(older_than_seconds=60, limit=10)
    assert await named(store, "b") == asking.id
    await store.prune_messages(older_than_seconds=60, limit=10)
    assert [await named(store, alias) for alias in "abc"] == [None, None, young.id]
