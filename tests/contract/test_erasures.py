"""Erasures: nothing of a thread, a subject or a tenant is left, and everything of others is."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from app.erasure_manager import MESSAGES_AT_ONCE, TURN_SECONDS, Eraser, ErasureManager
from app.errors import MessageNotFound, ThreadNotFound
from app.errors.erasures import ErasureInProgress, NothingOfTenant, SubjectNotFound
from app.models.audit import AuditAction, AuditFilter, NewAudit
from app.models.deliveries import DeliveryFilter
from app.models.erasures import Erasure, ErasureKind, ErasureState, ErasureTarget, NewErasure
from app.models.events import NewEvent
from app.models.items import ItemSearch, ItemWrite
from app.models.keys import NewKey
from app.models.memory import AgentMemory
from app.models.messages import MessageFilter, MessageState, Page, RequestKey
from app.models.tenants import TenantLimits, TenantSettings
from app.models.threads import NewThread, ThreadChange
from app.models.usage import GroupUsage, MeteredCall, ModelUsage, Tokens, UsageGroup, usage_by_model
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CALLER,
    CANCELLED,
    DONE,
    FAILED,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    add,
    all_threads,
    chunk,
    claim_one,
    claimed_ids,
    dead_letter,
    event_types,
    interrupt,
    listed,
    new,
    request_key,
    requeue,
    start,
    state_of,
)
from tests.contract.test_figures import counts as figures_of
from tests.contract.test_transitions import changes
from tests.contract.test_usage import usage

URL = "https://example.com/hook"
SUBJECT = "ann.*%"
OWN_ITEMS = ("subjects", "ann%2E%2A%25")
CALL = ModelUsage("m", Tokens(1, 10, 5, 4, 3, 7_000, 0))


class Memory(AgentMemory):
    """The agents' memory, of which only deletions matter here."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, memory_keys: list[str]) -> None:
        self.forgotten += memory_keys

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        raise NotImplementedError

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        raise NotImplementedError

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        raise NotImplementedError

    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        raise NotImplementedError


def eraser(store: Store, memory: AgentMemory | None = None) -> Eraser:
    """The duty of one process."""
    known = memory or Memory()
    return Eraser(store, lambda: known)


async def worked(store: Store, erasure: Erasure, memory: AgentMemory | None = None) -> Erasure:
    """The receipt of an erasure that has ended."""
    for _ in range(20):  # rows that come meanwhile need another turn
        await eraser(store, memory).work()
        found = await store.get_erasure(erasure.tenant, erasure.id)
        assert found is not None
        if found.state is ErasureState.COMPLETED:
            return found
    raise AssertionError(f"the erasure does not end: {found}")


def begin(store: Store, kind: ErasureKind, name: str = "", **fields: Any) -> Any:
    """Begin an erasure without its surroundings."""
    target = ErasureTarget(TENANT, kind, name)
    return store.begin_erasure(NewErasure(fields.pop("id", f"{kind}-1"), target, "local"), **fields)


async def fill(store: Store, tenant: str, thread: str, subject: str | None = None) -> list[str]:
    """Store something of every kind. The ids of its messages."""
    of: dict[str, Any] = {"tenant": tenant, "thread": thread, "subject": subject, "webhook_url": URL}
    key = RequestKey(tenant, f"key of {thread}", "this request")
    (done,) = (await store.add([new(aliases=(f"alias of {thread}",), **of)], max_queued=ALL, key=key)).messages
    lease = await claim_one(store)
    call = [MeteredCall({"input_tokens": 10}, CALL)]
    await store.append(lease, [chunk(0), NewEvent.usage(call)], usage_by_model([CALL]))
    await store.finish(lease, DONE)
    failed = await start(store, **of)
    await store.finish(failed, FAILED)
    asking = await interrupt(store, **of)
    behind = await add(store, **of)
    alone = await start(store, tenant=tenant, subject=subject)
    await store.finish(alone, DONE)
    own = ("subjects", subject.replace("%", "%25").replace(".", "%2E").replace("*", "%2A")) if subject else (thread,)
    await store.put_items(tenant, [ItemWrite(own, "item", '{"a": 1}'), ItemWrite((*own, "inside"), "item", "{}")])
    return [done.id, failed.message_id, asking.id, behind.id, alone.message_id]


async def shown(store: Store, tenant: str, ids: Sequence[str]) -> list[object]:
    """The view of a tenant on some messages and on its own."""
    found: list[object] = [
        await listed(store, tenant),
        await all_threads(store, tenant),
        await store.search_items(tenant, ItemSearch((), limit=ALL)),
        await store.find_deliveries(tenant, DeliveryFilter(), Page(ALL)),
        await usage(store, tenant=tenant),
        await store.list_keys(tenant, after="", limit=ALL),
        await store.get_tenant(tenant),
        await figures_of(store, tenant),
        (await store.summary(tenant, limit=ALL)).totals,
        await store.group_dead_letters(tenant, limit=ALL),
        await store.list_attempts(tenant, ids),
    ]
    return found


async def usage_without_subjects(store: Store) -> list[GroupUsage]:
    """The tenant's usage by hour, key, agent and model, which bills and quotas count."""
    return await usage(store, *frozenset(UsageGroup) - {UsageGroup.SUBJECT}, tenant=TENANT)


async def is_empty(store: Store, tenant: str, ids: Sequence[str]) -> None:
    """Nothing of these messages is left."""
    for message_id in ids:
        with pytest.raises(MessageNotFound):
            await store.get(tenant, message_id)
        with pytest.raises(MessageNotFound):
            await store.read(tenant, message_id, after=0, limit=1)
        assert await store.list_deliveries(tenant, message_id) == []
        assert await store.list_aliases(tenant, message_id) == {}
        assert await store.message_usage(tenant, message_id) == []


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


async def test_a_lost_worker_keeps_no_erasure(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    erasure = await begin(store, ErasureKind.TENANT)
    await eraser(store).work()
    clock.advance(31)
    assert await store.rescue() == 1
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED
    await worked(store, erasure)
    assert await listed(store) == []


async def test_an_erasure_goes_on_where_another_process_was_cut_off(
    store: Store, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is a transaction with its counts, so that the receipt is exact."""
    for number in range(7):
        await add(store, thread=f"t{number}", delay_seconds=60.0)
        await store.put_items(TENANT, [ItemWrite(("a",), f"{number}", "{}")])
    erasure = await begin(store, ErasureKind.TENANT)

    class Died(BaseException):
        """The end of a process."""

    async def counts() -> Any:
        return (await store.get_erasure(None, erasure.id) or erasure).counts

    def dies_after(part: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        async def dying(*given: Any, **named: Any) -> int:
            before = await counts()
            done = await part(*given, **named)
            if await counts() != before:
                raise Died
            return done

        return dying

    deaths = 0
    with monkeypatch.context() as patch:
        patch.setattr("app.erasure_manager.MESSAGES_AT_ONCE", 2)
        patch.setattr("app.erasure_manager.ROWS_AT_ONCE", 2)
        for name in ("erase_messages", "erase_threads", "erase_rows"):
            patch.setattr(store, name, dies_after(getattr(store, name)))
        while (await counts()).get("items", 0) < 7:
            with pytest.raises(Died):
                await eraser(store).work()
            deaths += 1
    assert deaths > 8
    receipt = await worked(other_store, erasure)
    assert {kind: receipt.counts[kind] for kind in ("messages", "threads", "items", "memories")} == {
        "messages": 7, "threads": 7, "items": 7, "memories": 7,
    }  # fmt: skip


async def test_parts_that_run_out_of_time_lose_and_count_nothing_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.parts.PART_SECONDS", 0.0)
    ids = await fill(store, TENANT, "t", SUBJECT)
    others = await fill(store, TENANT, "other", "ann")
    for number in range(30):
        await add(store, thread=f"t{number}", subject=SUBJECT, delay_seconds=60.0)
        await add(store, subject=SUBJECT)
    items = [ItemWrite((*OWN_ITEMS, f"{number}"), "item", "{}") for number in range(120)]
    await store.put_items(TENANT, items)
    memory = Memory()
    receipt = await worked(store, await ErasureManager(store).erase_subject(CALLER, SUBJECT), memory)
    assert sorted(await listed(store)) == sorted(others)
    assert {each.thread_id for each in await all_threads(store)} == {"other"}
    assert {kind: receipt.counts[kind] for kind in ("messages", "threads", "memories", "items", "usage")} == {
        "messages": 65, "threads": 31, "memories": 62, "items": 122, "usage": 1,
    }  # fmt: skip
    assert len(set(memory.forgotten)) == 62
    await is_empty(store, TENANT, ids)


async def test_unfinished_messages_of_every_kind_are_cancelled_together(store: Store, other_store: Store) -> None:
    asking = await interrupt(store, thread="asks", webhook_url=URL)
    lease = await start(store, thread="runs")
    await store.finish(await start(store, thread="ended"), DONE)
    (ended,) = [each for each in await listed(store) if each not in (asking.id, lease.message_id)]
    waiting = [await add(store, thread=thread) for thread in ("t", "t", "t", "runs", "asks", None)]
    delayed = await add(store, delay_seconds=60.0)
    foreign = await add(store, tenant=OTHER_TENANT)
    erasure = await begin(store, ErasureKind.TENANT)
    given = [asking.id, lease.message_id, ended, *(each.id for each in waiting), delayed.id, foreign.id, "unknown"]
    while given:
        given = given[await other_store.cancel_messages(erasure, given) :]
    for message_id in (asking.id, delayed.id, *(each.id for each in waiting)):
        assert await state_of(store, message_id) is MessageState.CANCELLED
        assert (await event_types(store, message_id))[-1] == "cancelled"
    assert [each.event for each in await store.list_deliveries(TENANT, asking.id)][-1] == "cancelled"
    assert await state_of(store, ended) is MessageState.COMPLETED
    assert await state_of(store, foreign.id, OTHER_TENANT) is MessageState.QUEUED
    running = await store.get(TENANT, lease.message_id)
    assert (running.state, running.cancel_requested) == (MessageState.PROCESSING, True)
    assert await claimed_ids(store) == [foreign.id], "nothing of the target moves up"
    await store.finish(lease, DONE)
    assert await state_of(store, lease.message_id) is MessageState.CANCELLED


async def test_each_message_is_cancelled_once_and_listed_a_few_times(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk past the messages that are cancelled already would cost their number squared."""
    for number in range(4 * MESSAGES_AT_ONCE):
        await add(store, thread=f"t{number // 10}" if number % 2 else None)
    lists: list[int] = []
    cancelled: list[str] = []
    list_messages, cancel_messages = store.list_messages, store.cancel_messages

    async def listing(*given: Any, **named: Any) -> Any:
        found = await list_messages(*given, **named)
        lists.append(len(found))
        return found

    async def cancelling(erasure: Erasure, message_ids: Sequence[str]) -> int:
        done = await cancel_messages(erasure, message_ids)
        cancelled.extend(message_ids[:done])
        return done

    monkeypatch.setattr(store, "list_messages", listing)
    monkeypatch.setattr(store, "cancel_messages", cancelling)
    await worked(store, await begin(store, ErasureKind.TENANT))
    assert len(cancelled) == len(set(cancelled)) == 4 * MESSAGES_AT_ONCE
    assert sum(lists) < 3 * 4 * MESSAGES_AT_ONCE


async def test_cancels_go_on_where_the_last_turn_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(10):
        await add(store)
    erasure = await begin(store, ErasureKind.TENANT)
    ticks = itertools.count()

    class Stopwatch:
        """Stands for the module `time`, and goes on with each look at it."""

        @staticmethod
        def monotonic() -> float:
            return float(next(ticks))

    class Restless(Eraser):
        """Does not rest, since the stopwatch leaps."""

        async def _rest(self, part: Awaitable[Any]) -> Any:
            return await part

    cursors: list[object] = []
    list_messages = store.list_messages

    async def listing(tenant: str, chosen: MessageFilter, page: Page, **named: Any) -> Any:
        if chosen.states is not None:
            cursors.append(page.cursor)
        return await list_messages(tenant, chosen, page, **named)

    monkeypatch.setattr("app.erasure_manager.MESSAGES_AT_ONCE", 1)
    monkeypatch.setattr("app.erasure_manager.TURN_SECONDS", 3.5)
    monkeypatch.setattr("app.erasure_manager.time", Stopwatch)
    monkeypatch.setattr(store, "list_messages", listing)
    memory = Memory()
    working = Restless(store, lambda: memory)
    for _ in range(4):
        await working.work()
    assert (len(cursors), len(set(cursors)), cursors.count(None)) == (
        12,
        11,
        2,
    ), "each place once, and the first one again"
    assert (await store.get_erasure(None, erasure.id)) == erasure


async def test_a_message_that_is_requeued_meanwhile_is_erased_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a number above the place that the erasure has reached."""
    failed = await dead_letter(store)
    waiting = await add(store)
    erasure = await begin(store, ErasureKind.TENANT)
    cancel_messages, passes = store.cancel_messages, 0

    async def requeuing(erasure: Erasure, message_ids: Sequence[str]) -> int:
        nonlocal passes
        passes += 1
        if passes == 1:
            await requeue(store, failed.id)
        return await cancel_messages(erasure, message_ids)

    monkeypatch.setattr(store, "cancel_messages", requeuing)
    await eraser(store).work()
    found = await store.get_erasure(None, erasure.id)
    assert found is not None
    assert (found.state, found.counts["messages"], passes) == (ErasureState.COMPLETED, 2, 2), waiting


async def test_the_erasure_of_a_tenant_ends_while_others_are_active(store: Store) -> None:
    await fill(store, TENANT, "t")
    erasure = await begin(store, ErasureKind.TENANT)

    class Busy(Eraser):
        """Another tenant submits in each turn."""

        async def _erase_names(self, erasure: Erasure, until: float) -> bool:
            done = await super()._erase_names(erasure, until)
            await add(store, tenant="other")
            return done

    memory = Memory()
    for _ in range(3):
        await Busy(store, lambda: memory).work()
    found = await store.get_erasure(TENANT, erasure.id)
    assert found is not None
    assert found.state is ErasureState.COMPLETED


async def test_names_are_replaced_from_where_the_last_turn_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn has time for one part. A turn that began anew would never get through many records."""
    for number in range(7):
        await add(store, thread=f"t{number}")
    erasure = await begin(store, ErasureKind.TENANT)
    places: list[str | None] = []
    erase_names, passed = store.erase_names, 0.0

    class Stopwatch:
        """Stands for the module `time`."""

        @staticmethod
        def monotonic() -> float:
            return passed

    class Restless(Eraser):
        """Does not rest, since the stopwatch leaps."""

        async def _rest(self, part: Awaitable[Any]) -> Any:
            return await part

    async def noted(*given: Any, limit: int) -> str | None:
        nonlocal passed
        passed += TURN_SECONDS
        places.append(given[1])
        following = await erase_names(*given, limit=3 if given[1].startswith("transitions") else limit)
        assert following != given[1] or following == "names:", "another erasure works on the same records"
        return following

    monkeypatch.setattr(store, "erase_names", noted)
    monkeypatch.setattr("app.erasure_manager.time", Stopwatch)
    memory = Memory()
    working = Restless(store, lambda: memory)
    while (await store.get_erasure(None, erasure.id) or erasure).state is ErasureState.RUNNING:
        await working.work()
        assert len(set(places)) == len(places), "each part once"
    assert len(places) > 3


@pytest.mark.parametrize("kind", [ErasureKind.TENANT, ErasureKind.SUBJECT])
async def test_names_are_replaced_although_others_write_faster(store: Store, kind: ErasureKind) -> None:
    """Each part finds more new records than it replaces."""
    audit = NewAudit("local", None, None, AuditAction.CHANGE_THREAD, TENANT, ("t",))
    await add(store, thread="t", subject=SUBJECT)
    await store.change_thread(TENANT, "t", ThreadChange(metadata={"n": 1}), audit=audit)
    for number in range(5):
        await add(store, thread="other", tenant=OTHER_TENANT, content=f"{number}")
    erasure = await begin(store, kind, SUBJECT if kind is ErasureKind.SUBJECT else "")
    while not await store.erase_threads(erasure, ["t"]):
        pass
    place: str | None = ""
    for part in range(40):
        for number in range(4):
            key = request_key(f"z {part:03} {number}", tenant=OTHER_TENANT if kind is ErasureKind.TENANT else TENANT)
            other = new(thread="other", tenant=key.tenant)
            await store.add([other], max_queued=ALL, key=key)
            await store.change_thread(key.tenant, "other", ThreadChange(metadata={"n": number}), audit=audit._replace(
                tenant=key.tenant, targets=("other",)
            ))  # fmt: skip
        of_all_keys = place is not None and place.startswith("keys")
        place = await store.erase_names(erasure, place or "", limit=ALL if of_all_keys else 3)
        if place is None:
            break
    assert place is None, "it does not end"
    found = await store.list_audit(AuditFilter(), after=None, limit=1, newest_first=False)
    assert found[0].targets == ("erased",)
    assert "t" not in [each.thread_id for each in await changes(store)]


async def test_one_process_at_a_time_works_on_an_erasure(store: Store, other_store: Store, clock: ManualClock) -> None:
    first = await begin(store, ErasureKind.TENANT)
    clock.advance(1)
    second = await begin(store, ErasureKind.THREAD, "t")
    assert await store.claim_erasure(lease_seconds=10) == first
    assert await other_store.claim_erasure(lease_seconds=10) == second
    assert await store.claim_erasure(lease_seconds=10) is None
    clock.advance(10)
    assert await store.claim_erasure(lease_seconds=10) == first
    await store.release_erasure(second.id)
    assert await store.claim_erasure(lease_seconds=10) == second


async def test_a_second_request_gets_the_running_erasure(store: Store, other_store: Store) -> None:
    audit = NewAudit("local", None, None, AuditAction.ERASE_DATA, TENANT, ("x",))
    first = await begin(store, ErasureKind.THREAD, "t", audit=audit)
    assert await begin(other_store, ErasureKind.THREAD, "t", id="another", audit=audit) == first
    assert await store.get_erasure(TENANT, "another") is None
    assert len(await store.list_audit(AuditFilter(), after=None, limit=ALL, newest_first=True)) == 1
    other = await begin(store, ErasureKind.SUBJECT, "t", id="subject")
    assert {each.id for each in await store.list_erasures(None, limit=ALL)} == {first.id, other.id}
    assert len(await store.list_erasures(TENANT, limit=1)) == 1
    assert await store.list_erasures(OTHER_TENANT, limit=ALL) == []
    assert await store.get_erasure(OTHER_TENANT, first.id) is None
    await worked(store, first)
    third = await begin(store, ErasureKind.THREAD, "t", id="third")
    assert third.id == "third"


async def test_an_erasure_waits_for_the_memory(store: Store) -> None:
    await add(store, thread="t")
    erasure = await begin(store, ErasureKind.THREAD, "t")
    for _ in range(3):
        await Eraser(store, lambda: None).work()
    found = await store.get_erasure(None, erasure.id)
    assert found is not None
    assert found.state is ErasureState.RUNNING
    assert await listed(store) == []
    with pytest.raises(ErasureInProgress):
        await add(store, thread="t")
    await worked(store, erasure)


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
