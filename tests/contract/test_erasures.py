"""Erasures: nothing of a thread, a subject or a tenant is left, and everything of others is."""

import asyncio
from typing import Any

import pytest

from app.erasure_manager import ErasureManager
from app.errors import ThreadNotFound
from app.errors.erasures import ErasureInProgress, NothingOfTenant, SubjectNotFound
from app.models.audit import AuditAction, AuditFilter, NewAudit
from app.models.erasures import ErasureKind
from app.models.items import ItemSearch, ItemWrite
from app.models.keys import NewKey
from app.models.messages import MessageFilter, MessageState, Page
from app.models.tenants import TenantLimits, TenantSettings
from app.models.threads import NewThread, ThreadChange
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CALLER,
    CANCELLED,
    DONE,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    add,
    all_threads,
    claim_one,
    claimed_ids,
    listed,
    new,
    request_key,
    start,
    state_of,
)
from tests.contract.erasing import (
    OWN_ITEMS,
    SUBJECT,
    Memory,
    begin,
    eraser,
    fill,
    is_empty,
    shown,
    usage_without_subjects,
    worked,
)
from tests.contract.test_transitions import changes
from tests.contract.test_usage import usage


async def test_nothing_of_an_erased_tenant_is_left(store: Store, other_store: Store) -> None:
    ids = await fill(store, TENANT, "t", SUBJECT)
    others = await fill(store, OTHER_TENANT, "t", SUBJECT)
    for tenant in (TENANT, OTHER_TENANT):
        await store.add_key(NewKey(f"{tenant[:4]:a<12}", tenant, "", ("read",), "hash"))
        await store.put_tenant(tenant, TenantSettings(), revision=None)
    before, revision = await shown(store, OTHER_TENANT, others), (await store.access_state()).revision
    memory = Memory()
    erasure = await ErasureManager(store).erase_tenant(TENANT)
    assert (await store.access_state()).revision > revision
    assert [key.revoked_at is not None for key in await store.list_keys(TENANT, after="", limit=ALL)] == [True]
    receipt = await worked(store, erasure, memory)
    for at in (store, other_store):
        await is_empty(at, TENANT, ids)
        seen = await shown(at, TENANT, ids)
        assert not any(any(each.values()) if isinstance(each, dict) else each for each in seen)
        assert await at.find_alias(TENANT, "alias of t") is None
        assert await at.get_tenant(TENANT) is None
        assert await shown(at, OTHER_TENANT, others) == before
    assert set(memory.forgotten) == {f"{TENANT}/thread/t", f"{TENANT}/message/{ids[-1]}"}
    assert receipt.name is None
    assert receipt.counts.items() >= {
        "messages": 5, "threads": 1, "memories": 2, "attempts": 1, "aliases": 1, "items": 2, "request_keys": 1,
        "usage": 1, "api_keys": 1,
    }.items()  # fmt: skip
    assert receipt.counts["events"] >= 10
    assert receipt.counts["deliveries"] >= 2
    assert receipt.counts["figures"] > 0
    with pytest.raises(NothingOfTenant):
        await ErasureManager(store).erase_tenant(TENANT)


async def test_nothing_of_an_erased_subject_is_left(store: Store, other_store: Store) -> None:
    ids = await fill(store, TENANT, "t", SUBJECT)
    others = await fill(store, TENANT, "other thread", "ann")
    free = await fill(store, TENANT, "without subject")
    elsewhere = await fill(store, OTHER_TENANT, "t", SUBJECT)
    before, used = await shown(store, OTHER_TENANT, elsewhere), await usage_without_subjects(store)
    memory = Memory()
    erasure = await ErasureManager(store).erase_subject(CALLER, SUBJECT)
    assert erasure.name == SUBJECT
    receipt = await worked(other_store, erasure, memory)
    for at in (store, other_store):
        await is_empty(at, TENANT, ids)
        assert sorted(await listed(at)) == sorted(others + free)
        assert {each.thread_id for each in await all_threads(at)} == {"other thread", "without subject"}
        items = await at.search_items(TENANT, ItemSearch((), limit=ALL))
        assert {each.namespace for each in items} == {
            ("subjects", "ann"), ("subjects", "ann", "inside"), ("without subject",), ("without subject", "inside"),
        }  # fmt: skip
        assert await usage(at, subject=SUBJECT, tenant=TENANT) == []
        assert await usage_without_subjects(at) == used
        assert [each.tokens.calls for each in await usage(at, tenant=TENANT, subject="ann")] == [1]
        assert await shown(at, OTHER_TENANT, elsewhere) == before
    assert set(memory.forgotten) == {f"{TENANT}/thread/t", f"{TENANT}/message/{ids[-1]}"}
    assert receipt.counts.items() >= {"messages": 5, "threads": 1, "memories": 2, "items": 2, "usage": 1}.items()
    with pytest.raises(SubjectNotFound):
        await ErasureManager(store).erase_subject(CALLER, SUBJECT)


async def test_nothing_of_an_erased_thread_is_left(store: Store) -> None:
    *ids, alone = await fill(store, TENANT, "t")
    others = await fill(store, TENANT, "t/t")
    memory = Memory()
    manager = ErasureManager(store)
    receipt = await worked(store, await manager.erase_thread(CALLER, "t"), memory)
    await is_empty(store, TENANT, ids)
    assert sorted(await listed(store)) == sorted([alone, *others])
    assert [each.thread_id for each in await all_threads(store)] == ["t/t"]
    assert memory.forgotten == [f"{TENANT}/thread/t"]
    assert receipt.counts.items() >= {"messages": 4, "threads": 1, "memories": 1, "request_keys": 1}.items()
    with pytest.raises(ThreadNotFound):
        await manager.erase_thread(CALLER, "t")
    again = await add(store, thread="t")
    assert again.thread_number == 1


@pytest.mark.parametrize("kind", ErasureKind)
async def test_submits_are_refused_meanwhile(store: Store, other_store: Store, kind: ErasureKind) -> None:
    await add(store, thread="t", subject="s")
    name = {ErasureKind.THREAD: "t", ErasureKind.SUBJECT: "s", ErasureKind.TENANT: ""}[kind]
    erasure = await begin(store, kind, name)
    for at in (store, other_store):
        with pytest.raises(ErasureInProgress, match=kind.value):
            await add(at, thread="t", subject="s")
        with pytest.raises(ErasureInProgress):
            await add(at, thread="t")  # it would get the subject of the thread
        made = NewThread(None, subject="s")
        with pytest.raises(ErasureInProgress, match=kind.value):
            await at.create_thread(TENANT, "t" if kind is ErasureKind.THREAD else f"new on {id(at)}", made)
        await at.create_thread(OTHER_TENANT, f"new on {id(at)}", made)
        await add(at, thread="t", tenant=OTHER_TENANT, subject="s")
    if kind is not ErasureKind.TENANT:
        tried = await asyncio.gather(
            *(add(store, thread=thread, subject=subject) for thread, subject in (("u", "v"), ("t", "s"), (None, None))),
            return_exceptions=True,
        )
        assert [type(each).__name__ for each in tried] == ["Message", "ErasureInProgress", "Message"]
    await worked(store, erasure)
    message = await add(store, thread="t", subject="s")
    assert (message.thread_number, message.subject) == (1, "s")


async def test_keys_and_settings_of_an_erased_tenant_are_refused_meanwhile(store: Store, other_store: Store) -> None:
    """They would be removed with the tenant, and whoever made them would not be told."""
    await store.add_key(NewKey("k", TENANT, "", ("submit",), "hash"))
    record = await store.put_tenant(TENANT, TenantSettings(weight=2.0), revision=None)
    assert record is not None
    erasure = await begin(store, ErasureKind.TENANT)
    audit = NewAudit("key:k", "k", "192.0.2.1", AuditAction.CREATE_KEY, TENANT, ("new",))
    for at in (store, other_store):
        with pytest.raises(ErasureInProgress, match="tenant"):
            await at.add_key(NewKey(f"new on {id(at)}", TENANT, "", ("submit",), "hash"), audit=audit)
        for revision in (None, record.revision):
            with pytest.raises(ErasureInProgress, match="tenant"):
                await at.put_tenant(TENANT, TenantSettings(weight=3.0), revision=revision, audit=audit)
        await at.add_key(NewKey(f"other on {id(at)}", OTHER_TENANT, "", ("submit",), "hash"))
    assert await store.get_tenant(TENANT) == record
    await begin(store, ErasureKind.SUBJECT, "s")  # hinders no key
    assert await store.list_audit(AuditFilter(), after=None, limit=9, newest_first=True) == []
    ended = await worked(store, erasure)
    assert ended.counts["api_keys"] == 1
    assert await store.get_tenant(TENANT) is None
    await store.add_key(NewKey("k", TENANT, "", ("submit",), "hash"))
    assert await store.put_tenant(TENANT, TenantSettings(weight=3.0), revision=None) is not None


async def test_a_running_message_is_cancelled_and_awaited(store: Store, other_store: Store) -> None:
    lease = await start(store, thread="t")
    waiting = await add(store, thread="t")
    erasure = await begin(store, ErasureKind.TENANT)
    await eraser(other_store).work()
    assert await state_of(store, waiting.id) is MessageState.CANCELLED
    running = await store.get(TENANT, lease.message_id)
    assert (running.state, running.cancel_requested) == (MessageState.PROCESSING, True)
    assert (await store.get_erasure(None, erasure.id)) == erasure
    await store.finish(lease, DONE)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    receipt = await worked(store, erasure)
    assert receipt.counts["messages"] == 2
    assert await listed(store) == []


async def test_an_erasure_ends_only_when_nothing_is_left(store: Store, other_store: Store) -> None:
    lease = await start(store, thread="t")
    erasure = await begin(store, ErasureKind.THREAD, "t")
    assert await store.erase_threads(erasure, ["t", "unknown"]) == 0, "a message of it is running"
    assert await other_store.left_to_erase(erasure)
    assert not await other_store.end_erasure(erasure)
    await store.finish(lease, DONE)
    assert await store.erase_threads(erasure, ["t"]) == 1
    assert await other_store.left_to_erase(erasure), "its memory is left"
    await store.settle_dropped_memories(await store.list_dropped_memories(ALL))
    assert not await other_store.left_to_erase(erasure)
    assert await other_store.end_erasure(erasure)


async def test_messages_above_a_limit_of_running_ones_are_erased_too(store: Store) -> None:
    await store.put_tenant(TENANT, TenantSettings(limits=TenantLimits(running=1)), revision=None)
    waiting = [await add(store, thread=thread) for thread in (None, "t", "t", None)]
    lease = await claim_one(store)
    assert await claimed_ids(store) == [], "the others are held back"
    erasure = await ErasureManager(store).erase_tenant(TENANT)
    await eraser(store).work()
    assert [await state_of(store, each.id) for each in waiting] == [MessageState.PROCESSING] + 3 * [
        MessageState.CANCELLED
    ]
    await store.finish(lease, DONE)
    receipt = await worked(store, erasure)
    assert receipt.counts["messages"] == 4
    assert await store.get_tenant(TENANT) is None


async def test_threads_with_and_without_messages_are_erased_together(store: Store) -> None:
    for thread in ("empty", "e2"):
        await store.create_thread(TENANT, thread, NewThread(None))
    await store.create_thread(OTHER_TENANT, "empty", NewThread(None))
    await store.finish(await start(store, thread="ended"), DONE)
    await start(store, thread="running")
    erasure = await begin(store, ErasureKind.TENANT)
    given, erased = ["running", "empty", "ended", "unknown", "e2"], 0
    for _ in given:
        erased += await store.erase_threads(erasure, given)
    assert [each.thread_id for each in await all_threads(store)] == ["running"]
    assert len(await all_threads(store, OTHER_TENANT)) == 1
    found = await store.get_erasure(TENANT, erasure.id)
    assert found is not None
    assert (erased, found.counts["threads"], found.counts["memories"]) == (3, 3, 3)
    dropped = {each.thread_id for each in await store.list_dropped_memories(ALL)}
    assert dropped == {"empty", "ended", "e2"}


async def test_records_lose_the_names_and_stay(store: Store, other_store: Store) -> None:
    def audit(action: AuditAction, *targets: str, actor: str = "key:k", **details: Any) -> NewAudit:
        return NewAudit(actor, "k", "192.0.2.1", action, TENANT, targets, details)

    change = ThreadChange(metadata={"a": 1})
    for thread, subject in (("t", SUBJECT), ("other", "other")):
        await add(store, thread=thread, subject=subject, delay_seconds=60.0)
        await store.change_thread(TENANT, thread, change, audit=audit(AuditAction.CHANGE_THREAD, thread))
    await store.change_thread(
        TENANT, "other", change, audit=audit(AuditAction.CHANGE_THREAD, "other", actor=f"subject:{SUBJECT}")
    )
    item = ItemWrite(OWN_ITEMS, "item of ann", "{}")
    given = audit(AuditAction.PUT_ITEM, item.key, namespace=list(OWN_ITEMS))
    await store.put_items(TENANT, [item], audit=given)
    await store.end_tokens(TENANT, SUBJECT, audit=audit(AuditAction.END_TOKENS, SUBJECT))
    before = await changes(store)
    names = [each.thread_id for each in before]
    assert "t" in names
    receipt = await worked(store, await ErasureManager(store).erase_subject(CALLER, SUBJECT))
    found = await other_store.list_audit(AuditFilter(), after=None, limit=ALL, newest_first=False)
    assert [(each.number, each.actor, each.address, each.targets, dict(each.details)) for each in found] == [
        (1, "key:k", "192.0.2.1", ("erased",), {}),
        (2, "key:k", "192.0.2.1", ("other",), {}),
        (3, "subject:erased", None, ("other",), {}),
        (4, "key:k", "192.0.2.1", ("erased",), {}),
        (5, "key:k", "192.0.2.1", ("erased",), {}),
    ]
    assert receipt.counts["records"] == 4
    later = await changes(other_store)
    assert [each.cursor for each in later][: len(before)] == [each.cursor for each in before]
    assert [each.thread_id for each in later][: len(before)] == ["erased" if name == "t" else name for name in names]
    assert "t" not in [each.thread_id for each in later]
    assert receipt.counts["changes"] > 0
    await store.pause(paused=True, audit=audit(AuditAction.PAUSE_QUEUE))
    assert (await store.list_audit(AuditFilter(), after=None, limit=1, newest_first=True))[0].number == 6


async def test_repeated_requests_of_erased_messages_are_new(store: Store) -> None:
    """Their keys were erased, and only theirs."""
    keys = [request_key("of the thread"), request_key("of another"), request_key(f"{SUBJECT}\nown")]
    for key, thread in zip(keys, ("t", "other", None), strict=True):
        await store.add([new(thread=thread, subject=SUBJECT if thread != "other" else None)], max_queued=ALL, key=key)
    await worked(store, await ErasureManager(store).erase_subject(CALLER, SUBJECT))
    replayed = [(await store.add([new()], max_queued=ALL, key=key)).replayed for key in keys]
    assert replayed == [False, True, False]


async def test_a_message_that_has_not_ended_stays(store: Store) -> None:
    lease = await start(store)
    waiting = await add(store)
    erasure = await begin(store, ErasureKind.TENANT)
    elsewhere = await add(store, tenant=OTHER_TENANT)
    await store.cancel(OTHER_TENANT, elsewhere.id)
    ids = [lease.message_id, waiting.id, elsewhere.id, "unknown"]
    assert await store.erase_messages(erasure, ids) == 0
    assert len(await store.list_messages(TENANT, MessageFilter(), Page(ALL))) == 2
    await store.finish(lease, CANCELLED)
    assert await store.erase_messages(erasure, ids) == 1


async def test_a_retried_message_is_erased_with_its_attempts(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, RETRIED)
    receipt = await worked(store, await begin(store, ErasureKind.TENANT))
    assert receipt.counts["attempts"] == 1
