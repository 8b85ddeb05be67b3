"""An export of any engine can be imported into any other, and tells the same there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.backups.exporting import Chosen, head, records
from app.backups.importing import Imported, read_records, store_records
from app.backups.records import End
from app.backups.replaying import ReplayClock
from app.errors.backups import TargetNotEmpty
from app.errors.transfers import ExportDamaged
from app.models.attempts import Completed, Failed, Interrupted, Retry
from app.models.deliveries import DeliveryAttempt, Receiver, WebhookEvent, WebhookForm
from app.models.events import EventType, NewEvent
from app.models.failures import FailureDetails
from app.models.items import ItemSearch, ItemWrite
from app.models.keys import NewKey
from app.models.messages import MessageFilter, MessageOptions, Page
from app.models.threads import NewThread, ThreadChange
from app.models.usage import ModelUsage, Tokens
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.backends import LASTING
from tests.contract.builders import (
    ALL,
    ANSWER,
    DONE,
    HIGH,
    INTERRUPTED,
    LOW,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    add,
    claim_one,
    drain,
    start,
)

ALL_CHOSEN = Chosen()
FAILURE = Failed("It broke.", "agent_error", "kind", FailureDetails(node="n", where="a.py:1"))


async def fill(store: Store, clock: ManualClock) -> None:
    """Make a queue with a message of each kind of history."""

    def tick() -> None:
        clock.advance(1.5)

    await store.add_key(NewKey("key1", TENANT, "shop", ("submit", "read"), "hash", webhook_url="https://example.org/"))
    await store.rotate_key(TENANT, "key1", "newer hash", store.now())
    await store.add_key(NewKey("key2", OTHER_TENANT, "", ("admin",), "hash 2"))
    await store.revoke_key(None, "key2")
    await store.put_items(TENANT, [ItemWrite(("a", "b"), "k", '{"x": 1}', 10**12)])
    tick()
    await store.put_items(TENANT, [ItemWrite(("a", "b"), "k", '{"x": 2}', 10**12)])
    await store.create_thread(TENANT, "empty", NewThread(None, "Empty", {"n": 1.5}, ttl=90.5))

    lease = await start(store, thread="t", metadata={"a": 1}, aliases=("alias",), subject=None, content="done")
    tick()
    await store.append(lease, [NewEvent.chunk("content", "é\u0000"[:1], 0), NewEvent.chunk("content", "y", 1)])
    tick()
    usage = ModelUsage("m", Tokens(1, 10, 5, 2, 1, 12345, 0))
    await store.append(lease, [NewEvent.of(EventType.USAGE, models={"m": {"calls": 1}})], [usage])
    tick()
    await store.finish(lease, Completed("The answer.", '{"b": [1, 2.50]}'))

    lease = await start(
        store,
        content="retried, then failed",
        webhook_url="https://example.org/hook",
        options=MessageOptions(max_attempts=2),
    )
    tick()
    await store.finish(lease, Retry("for now", "rate_limited", 2.0, FailureDetails(error_type="E")))
    clock.advance(2)
    await store.promote()
    lease = await claim_one(store)
    tick()
    await store.finish(lease, FAILURE)
    (sent,) = await store.claim_deliveries(1, lease_seconds=10)
    await store.settle_delivery(sent, DeliveryAttempt(at=store.now(), status=200, error=None), next_in=None)

    lease = await start(store, content="lost, then done")
    clock.advance(60)
    assert await store.rescue() == 1
    lease = await claim_one(store)
    await store.finish(lease, RELEASED)
    tick()
    await store.finish(await claim_one(store), DONE)

    await fill_unfinished(store, clock)


async def fill_unfinished(store: Store, clock: ManualClock) -> None:
    """Make messages that ask, wait or were cancelled."""

    def tick() -> None:
        clock.advance(1.5)

    expired = await start(store, content="asks in vain")
    await store.finish(expired, Interrupted('[{"id": "q", "value": 1}]', 5.0))
    clock.advance(6)
    assert await store.expire_interrupts() == 1

    receiver = Receiver(name="n", url="https://example.org/task", form=WebhookForm.TASK, token="t", signing_key="key1")
    lease = await start(store, content="asked and answered, waits", thread="asking", receivers=(receiver,))
    await store.finish(lease, INTERRUPTED)
    tick()
    fence = (await store.get(TENANT, lease.message_id)).fence
    await store.resume(TENANT, lease.message_id, fence, ANSWER, alias="answer")
    await add(store, "behind it", thread="asking", priority=HIGH)
    tick()
    lease = await claim_one(store)
    await store.finish(lease, INTERRUPTED)  # it asks again
    cancelled = await add(store, "cancelled in the queue")
    await store.cancel(TENANT, cancelled.id)

    lease = await start(store, content="will retry", thread="retrying")
    await store.finish(lease, Retry("again", "agent_error", 3.0))
    lease = await start(store, content="answered", thread="answered", priority=LOW)
    await store.finish(lease, INTERRUPTED)
    fence = (await store.get(TENANT, lease.message_id)).fence
    await store.resume(TENANT, lease.message_id, fence, ANSWER)
    behind = await add(store, "cancelled behind it", thread="answered")
    await store.cancel(TENANT, behind.id)
    for priority in (LOW, HIGH, HIGH):
        tick()
        await add(store, f"waits {priority}", priority=priority)
    await add(store, "waits behind", thread="answered")
    await add(store, "delayed", delay_seconds=3600.0)
    await add(store, "of another tenant", tenant=OTHER_TENANT, thread="t")
    await store.change_thread(TENANT, "t", ThreadChange(("Named",), {"a": None, "z": "end"}, (60.0,)))


async def exported(store: Store, chosen: Chosen = ALL_CHOSEN) -> list[bytes]:
    """The lines of an export."""
    return whole([each.line().encode() async for each in records(store, chosen)])


def whole(lines: list[bytes]) -> list[bytes]:
    """An export with these records."""
    return [head().line().encode(), *lines, End(records=len(lines)).line().encode()]


async def imported(lines: list[bytes], store: Store, clock: ReplayClock) -> Imported:
    return await store_records(read_records(lines), store, clock, lambda _: None)


async def told(store: Store) -> dict[str, Any]:
    """All that the ports tell of a queue, without what counts within one store only."""
    found: dict[str, Any] = {"keys": await store.list_keys(None, after="", limit=ALL)}
    found["tenants"] = [each._replace(revision=0) for each in await store.list_tenants(after="", limit=ALL)]
    for tenant in (TENANT, OTHER_TENANT):
        found[f"items of {tenant}"] = await store.search_items(tenant, ItemSearch((), limit=100))
        found[f"threads of {tenant}"] = {
            each.thread_id: each.model_copy(update={"last_activity": None})
            for each in await store.list_threads(tenant, Page(ALL))
        }
        for listed in await store.list_messages(tenant, MessageFilter(), Page(ALL)):
            message = await store.get(tenant, listed.id)
            log = await store.read(tenant, message.id, after=0, limit=ALL)
            found[message.content] = [
                message._replace(number=0, fence=0),
                log.events,
                await store.list_attempts(tenant, [message.id]),
                await store.message_usage(tenant, message.id),
                await store.list_aliases(tenant, message.id),
                [
                    each.model_copy(update={"id": "", "next_at": None})
                    for each in await store.list_deliveries(tenant, message.id)
                ],
            ]
    return found


@asynccontextmanager
async def target_in(folder: Path, engine: str = "sqlite") -> AsyncIterator[tuple[Store, ReplayClock]]:
    """An empty, open store for an import."""
    clock = ReplayClock()
    store = LASTING[engine](folder, clock)
    await store.open()
    try:
        yield store, clock
    finally:
        await store.close()


@pytest.mark.parametrize("engine", LASTING)
async def test_an_import_tells_what_the_export_told(
    store: Store, clock: ManualClock, engine: str, tmp_path: Path
) -> None:
    await fill(store, clock)
    lines = await exported(store)
    async with target_in(tmp_path / "target", engine) as (target, replayed):
        first = await imported(whole(lines[1 : len(lines) * 2 // 3]), target, replayed)
        assert first.added > 0
        rest = await imported(lines, target, replayed)
        assert rest.added > 0
        assert (await imported(lines, target, replayed)).added == 0
        await expect_same(store, clock, target, replayed)


async def expect_same(store: Store, clock: ManualClock, target: Store, replayed: ReplayClock) -> None:
    """Look that both tell the same, and run their messages in the same order."""
    replayed.milliseconds = clock.milliseconds
    before, after = await told(store), await told(target)
    for name in before:
        assert after[name] == before[name], name
    assert after.keys() == before.keys()
    for each in (clock, replayed):
        each.milliseconds += 4000
    await store.promote()
    await target.promote()
    assert await drain(target) == await drain(store) != []


@pytest.fixture
async def source(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """A queue in a file, with a message of each kind of history."""
    store = LASTING["sqlite"](tmp_path, clock)
    await store.open()
    try:
        await fill(store, clock)
        yield store
    finally:
        await store.close()


async def test_a_receiver_that_was_added_later_is_not_told_of_what_was_before(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    lease = await start(store)
    await store.finish(lease, INTERRUPTED)
    clock.advance(1)
    receiver = Receiver(name="n", url="https://example.org/task", form=WebhookForm.TASK)
    assert await store.put_receiver(TENANT, lease.message_id, receiver, limit=1)
    lines = await exported(store)
    async with target_in(tmp_path / "target") as (target, replayed):
        for _ in range(2):
            await imported(lines, target, replayed)
            assert not await target.claim_deliveries(ALL, lease_seconds=10)
        await target.cancel(TENANT, lease.message_id, running=True)
        (told_of,) = await target.claim_deliveries(ALL, lease_seconds=10)
        assert (told_of.event, told_of.receiver) == (WebhookEvent.CANCELLED, receiver.key)


@pytest.mark.parametrize("verb", ["add", "claim", "append", "finish", "resume", "rescue", "cancel"])
async def test_an_import_that_is_cut_off_anywhere_goes_on(
    source: Store, clock: ManualClock, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = await exported(source)
    async with target_in(tmp_path / "target") as (target, replayed):
        call = getattr(type(target), verb)
        stopped = 0

        async def cut_off(*given: Any, **options: Any) -> Any:
            nonlocal stopped
            result = await call(target, *given, **options)
            if (verb != "rescue" and stopped < 3) or not stopped:
                stopped += 1
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(target, verb, cut_off)
        for _ in range(4):
            with suppress(KeyboardInterrupt):
                await imported(lines, target, replayed)
        assert stopped
        monkeypatch.undo()
        await imported(lines, target, replayed)
        await expect_same(source, clock, target, replayed)


async def test_a_message_that_runs_is_queued_again(tmp_path: Path, clock: ManualClock) -> None:
    source = LASTING["sqlite"](tmp_path, clock)
    await source.open()
    lease = await start(source, thread="t")
    await source.append(lease, [NewEvent.chunk("content", "Half", 0)])
    await add(source, "behind it", thread="t")
    lines = await exported(source)
    await source.close()
    async with target_in(tmp_path / "target") as (target, replayed):
        await imported(lines, target, replayed)
        replayed.milliseconds += 10
        await target.promote()
        log = await target.read(TENANT, lease.message_id, after=0, limit=ALL)
        assert [each.type for each in log.events] == [EventType.PROCESSING, EventType.CHUNK, EventType.RETRY]
        assert (await drain(target))[0] == lease.message_id


async def test_only_chosen_messages_are_exported(source: Store, tmp_path: Path) -> None:
    lines = await exported(source, Chosen((TENANT,), MessageFilter(thread_id="t")))
    async with target_in(tmp_path / "target") as (target, replayed):
        assert (await imported(lines, target, replayed)).added == 2  # the thread and its message
        (thread,) = await target.list_threads(TENANT, Page(ALL))
        assert (thread.thread_id, thread.name) == ("t", "Named")


async def test_nothing_is_claimed_of_a_queue_that_has_messages(source: Store, tmp_path: Path) -> None:
    lines = await exported(source)
    async with target_in(tmp_path / "target") as (target, replayed):
        present = await add(target, "present", priority=HIGH)
        with pytest.raises(TargetNotEmpty):
            await imported(lines, target, replayed)
        assert await target.get(TENANT, present.id) == present


async def test_lines_that_are_no_export_are_refused(source: Store) -> None:
    lines = await exported(source)
    newer = json.dumps({**json.loads(lines[0]), "version": 2}).encode()
    for damaged in (
        [], [b"{}"], [newer, *lines[1:]], lines[:-1], [*lines[:3], *lines[4:]], [*lines, lines[-1]],
        [*lines[:-2], lines[-2][: len(lines[-2]) // 2]],
    ):  # fmt: skip
        with pytest.raises(ExportDamaged):
            list(read_records(damaged))
    with pytest.raises(ExportDamaged, match="Line 2 cannot be read: it is cut off"):
        list(read_records([lines[0], lines[1][:-9]]))
    assert len(list(read_records(lines))) == len(lines) - 2
