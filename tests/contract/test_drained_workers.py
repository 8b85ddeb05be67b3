"""A worker that is drained claims nothing until it is resumed, and everybody can see it."""

import pytest

from app.errors.workers import WorkerNotFound
from app.models.attempts import Beat
from app.models.audit import AuditAction, AuditFilter, NewAudit
from app.models.transitions import TransitionType
from app.models.workers import Worker, WorkerState
from app.store.ports import MOVED, WORKERS, Store
from tests.clock import ManualClock
from tests.contract.builders import ALL, LEASE_SECONDS, TENANT, add, start, worker

ACTIVE, DRAINING, DRAINED = WorkerState


def beat(store: Store, shown: Worker, state: WorkerState = ACTIVE) -> Beat:
    """Send a heartbeat of a worker that says it is in this state."""
    with store.open_lease_renewer() as renewer:
        return renewer.beat(shown.model_copy(update={"state": state}), (), lease_seconds=LEASE_SECONDS)


async def states(store: Store) -> dict[str, WorkerState]:
    return {each.id: each.state for each in await store.list_workers()}


async def changes(store: Store) -> list[tuple[TransitionType, str | None]]:
    """The changes of workers so far."""
    page = await store.read_transitions(None, after=None, limit=ALL)
    return [(each.type, each.worker_id) for each in page.transitions if each.type.startswith("worker.")]


async def test_a_heartbeat_tells_its_worker_to_drain_and_others_not(store: Store) -> None:
    for name in ("a", "b"):
        assert not beat(store, worker(name)).draining
    await store.drain_worker("a", draining=True)
    assert await states(store) == {"a": DRAINING, "b": ACTIVE}
    assert beat(store, worker("a")).draining
    assert not beat(store, worker("b")).draining
    assert await states(store) == {"a": DRAINING, "b": ACTIVE}


async def test_a_worker_is_drained_when_it_says_so_and_active_when_it_is_resumed(store: Store) -> None:
    beat(store, worker("a"))
    await store.drain_worker("a", draining=True)
    assert beat(store, worker("a"), DRAINING).draining
    assert await states(store) == {"a": DRAINING}
    assert beat(store, worker("a"), DRAINED).draining
    assert await states(store) == {"a": DRAINED}
    await store.drain_worker("a", draining=False)
    assert not beat(store, worker("a"), DRAINED).draining, "it learns of the resume by this heartbeat"
    assert await states(store) == {"a": ACTIVE}


async def test_a_drained_worker_stays_so_whatever_it_says_later(store: Store) -> None:
    beat(store, worker("a"))
    await store.drain_worker("a", draining=True)
    for said in (DRAINED, DRAINING, ACTIVE):
        assert beat(store, worker("a"), said).draining
        assert await states(store) == {"a": DRAINED}


async def test_a_worker_that_was_not_asked_stays_active(store: Store) -> None:
    beat(store, worker("a"))
    for said in (DRAINING, DRAINED):
        assert not beat(store, worker("a"), said).draining
        assert await states(store) == {"a": ACTIVE}


async def test_a_drained_worker_that_was_forgotten_comes_back_drained(store: Store, clock: ManualClock) -> None:
    beat(store, worker("a"))
    await store.drain_worker("a", draining=True)
    beat(store, worker("a"), DRAINED)
    clock.advance(10)
    await store.prune_workers(silent_for_seconds=5)
    assert await states(store) == {}
    assert beat(store, worker("a"), DRAINED).draining
    assert await states(store) == {"a": DRAINED}
    await store.drain_worker("a", draining=False)
    assert not beat(store, worker("a"), DRAINED).draining


async def test_leases_are_held_meanwhile(store: Store, clock: ManualClock) -> None:
    beat(store, worker())
    lease = await start(store)
    await store.drain_worker(lease.worker_id, draining=True)
    clock.advance(LEASE_SECONDS / 2)
    shown = worker(lease.worker_id).model_copy(update={"state": DRAINING})
    with store.open_lease_renewer() as renewer:
        told = renewer.beat(shown, [lease], lease_seconds=LEASE_SECONDS)
    assert told == Beat({lease.message_id: lease.fence}, frozenset(), draining=True)


async def test_its_slots_do_not_count_and_its_runs_do(store: Store) -> None:
    beat(store, worker("a", 2))
    beat(store, worker("b", 3))
    await add(store)
    await store.drain_worker("a", draining=True)
    throughput = await store.throughput()
    assert (throughput.slots, throughput.draining, [group.slots for group in throughput.groups]) == (3, 1, [3])
    await store.drain_worker("b", draining=True)
    throughput = await store.throughput()
    assert (throughput.slots, throughput.draining, throughput.groups) == (0, 2, ())
    for name in ("a", "b"):
        await store.drain_worker(name, draining=False)
    assert ((await store.throughput()).slots, (await store.throughput()).draining) == (5, 0)


async def test_changes_are_recorded_once(store: Store) -> None:
    beat(store, worker("a"))
    for _ in range(2):
        await store.drain_worker("a", draining=True)
    for _ in range(2):
        beat(store, worker("a"), DRAINED)
    await store.drain_worker("a", draining=True)
    for _ in range(2):
        await store.drain_worker("a", draining=False)
    kinds = [TransitionType.WORKER_STARTED, TransitionType.WORKER_DRAINING, TransitionType.WORKER_DRAINED]
    assert await changes(store) == [(kind, "a") for kind in (*kinds, TransitionType.WORKER_RESUMED)]


async def test_workers_are_hinted(store: Store) -> None:
    beat(store, worker("a"))
    with store.subscribe(WORKERS) as workers, store.subscribe(MOVED) as moved:
        for draining in (True, False):
            await store.drain_worker("a", draining=draining)
            assert await workers.wait(5)
            assert await moved.wait(5)


@pytest.mark.parametrize("draining", [True, False])
async def test_a_worker_that_is_not_there_is_refused(store: Store, draining: bool) -> None:
    beat(store, worker("a"))
    with store.open_lease_renewer() as renewer:
        renewer.stop("a")
    audit = NewAudit("local", None, None, AuditAction.DRAIN_WORKER, None, ("a",))
    with pytest.raises(WorkerNotFound):
        await store.drain_worker("a", draining=draining, audit=audit)
    assert await states(store) == {}
    assert await store.list_audit(AuditFilter(), after=None, limit=ALL, newest_first=False) == []


async def test_only_a_change_is_recorded_in_the_audit_log(store: Store) -> None:
    beat(store, worker("a"))
    for draining, action in ((True, AuditAction.DRAIN_WORKER), (False, AuditAction.RESUME_WORKER)):
        for _ in range(2):
            audit = NewAudit("local", None, None, action, None, ("a",))
            await store.drain_worker("a", draining=draining, audit=audit)
    found = await store.list_audit(AuditFilter(), after=None, limit=ALL, newest_first=False)
    assert [(each.action, each.targets) for each in found] == [("worker.drain", ("a",)), ("worker.resume", ("a",))]


async def test_a_worker_of_another_name_is_not_drained(store: Store) -> None:
    """A process that starts again has another id."""
    beat(store, worker("a"))
    await store.drain_worker("a", draining=True)
    with store.open_lease_renewer() as renewer:
        renewer.stop("a")
    assert not beat(store, worker("a again")).draining
    assert (await start(store)).message_id in {each.id for each in (await store.summary(TENANT, limit=ALL)).processing}
