"""A message that has begun goes on with the version of its agent that began it, for as long as a live worker has it."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from app.models.attempts import Claim, Outcome
from app.models.events import EventType
from app.models.messages import Message, MessageState
from app.models.workers import AgentState, ServedAgent
from app.store.ports import LeaseRenewer, Store
from app.store.versions import VERSION_KEPT_MS
from tests.clock import ManualClock
from tests.contract.builders import (
    AGENT,
    ALL,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    LOW,
    RELEASED,
    RETRIED,
    TENANT,
    add,
    event_types,
    requeue,
    resume,
    told,
    worker,
)

WAIT_SECONDS = 60.0
OLD, NEW, NEWEST = "v1", "v2", "v3"


class Fleet:
    """Workers that come and go, each with one version of its agent; an empty version is none."""

    def __init__(self, store: Store, clock: ManualClock, renewer: LeaseRenewer) -> None:
        self._store = store
        self._clock = clock
        self._renewer = renewer
        self._live: set[tuple[str, str, AgentState]] = set()

    def start(self, version: str, *, agent: str = AGENT, state: AgentState = AgentState.AVAILABLE) -> None:
        """A worker with this version starts."""
        self._live.add((version, agent, state))
        self._beat()

    def stop(self, version: str, *, agent: str = AGENT, state: AgentState = AgentState.AVAILABLE) -> None:
        """It stops."""
        self._live.remove((version, agent, state))
        self._renewer.stop(f"worker of {agent} {version} {state}")

    def _beat(self) -> None:
        for version, agent, state in sorted(self._live):
            served = (ServedAgent(name=agent, state=state, version=version or None),)
            identity = worker(f"worker of {agent} {version} {state}").model_copy(update={"agents": served})
            self._renewer.beat(identity, (), lease_seconds=LEASE_SECONDS)

    async def watch(self, seconds: float = 0.0) -> int:
        """Time passes, with the duty at its beginning and its end; how many messages it moved."""
        moved = await self._store.move_versions(wait_seconds=WAIT_SECONDS)
        self.advance(seconds)
        return moved + await self._store.move_versions(wait_seconds=WAIT_SECONDS)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._clock.advance(seconds)
        self._beat()


@pytest.fixture
def fleet(store: Store, clock: ManualClock) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(store, clock, stack.enter_context(store.open_lease_renewer()))


async def claim(store: Store, version: str = "", limit: int = 1, *agents: str) -> list[Claim]:
    """Claim as a worker with this version."""
    names = agents or (AGENT,)
    versions = dict.fromkeys(names, version) if version else {}
    return await store.claim(f"worker {version}", names, limit, lease_seconds=LEASE_SECONDS, versions=versions)


async def claimed(store: Store, version: str = "", limit: int = ALL) -> list[str]:
    """The ids of what a worker with this version claims."""
    return [each.message.id for each in await claim(store, version, limit)]


async def begun(store: Store, version: str, outcome: Outcome = RELEASED, **fields: Any) -> Message:
    """A message, into an otherwise empty queue, that this version has begun and then put back."""
    message = await add(store, **fields)
    (taken,) = await claim(store, version)
    await store.finish(taken.lease, outcome)
    return await store.get(TENANT, message.id)


async def version_of(store: Store, message_id: str) -> str | None:
    return (await store.get(TENANT, message_id)).agent_version


# Claims


async def test_a_message_gets_the_version_of_the_worker_that_claims_it_first(store: Store) -> None:
    message = await add(store)
    assert await version_of(store, message.id) is None
    (taken,) = await claim(store, OLD)
    assert taken.message.agent_version == OLD
    assert await version_of(store, message.id) == OLD
    await store.finish(taken.lease, DONE)
    assert await version_of(store, message.id) == OLD
    assert await event_types(store, message.id) == ["processing", "done"]


async def test_workers_without_a_version_change_nothing(store: Store) -> None:
    message = await begun(store, "")
    assert message.agent_version is None
    assert await claimed(store) == [message.id]
    assert await version_of(store, message.id) is None


async def put_back(store: Store, clock: ManualClock, outcome: Outcome) -> Message:
    """A message that OLD has begun, ready again after this outcome."""
    message = await begun(store, OLD, outcome, thread="t")
    if message.state is MessageState.INTERRUPTED:
        await resume(store, message)
    clock.advance(60)
    await store.promote()
    return await store.get(TENANT, message.id)


@pytest.mark.parametrize("outcome", [RELEASED, RETRIED, INTERRUPTED], ids=["drained", "retried", "answered"])
async def test_a_message_that_has_begun_waits_for_its_version(
    store: Store, clock: ManualClock, outcome: Outcome
) -> None:
    message = await put_back(store, clock, outcome)
    assert (message.state, message.agent_version) == (MessageState.QUEUED, OLD)
    assert await claimed(store) == []
    assert await claimed(store, NEW) == []
    assert await claimed(store, OLD) == [message.id]


async def test_a_rescued_message_waits_for_its_version(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    await claim(store, OLD)
    clock.advance(LEASE_SECONDS + 1)
    assert await store.rescue() == 1
    assert await claimed(store, NEW) == []
    assert await claimed(store, OLD) == [message.id]


async def test_a_message_that_began_without_a_version_goes_on_with_any(store: Store) -> None:
    message = await begun(store, "")
    assert await claimed(store, NEW) == [message.id]
    assert await version_of(store, message.id) == NEW


async def test_a_waiting_version_blocks_no_other_message(store: Store) -> None:
    waiting = await begun(store, OLD)
    fresh = [(await add(store)).id for _ in range(2)]
    assert await claimed(store, NEW) == fresh
    assert await claimed(store, OLD) == [waiting.id]


async def test_a_claim_takes_new_messages_and_its_own_by_rank(store: Store) -> None:
    own = await begun(store, OLD)
    fresh = await add(store)
    urgent = await add(store, priority=HIGH)
    assert await claimed(store, OLD) == [urgent.id, own.id, fresh.id]


async def test_the_thread_behind_a_waiting_version_waits_too(store: Store) -> None:
    head = await begun(store, OLD, thread="t")
    behind = await add(store, thread="t", priority=HIGH)
    assert await claimed(store, NEW) == []
    (taken,) = await claim(store, OLD)
    assert taken.message.id == head.id
    await store.finish(taken.lease, DONE)
    assert await claimed(store, NEW) == [behind.id]


async def test_priorities_are_inherited_while_a_version_is_waited_for(store: Store) -> None:
    head = await begun(store, OLD, thread="t", priority=LOW)
    other = await add(store)
    assert (await store.get(TENANT, head.id)).queue_position == 1
    await add(store, thread="t", priority=HIGH)
    assert (await store.get(TENANT, head.id)).queue_position == 0
    assert await claimed(store, OLD) == [head.id, other.id]


async def test_versions_are_of_one_agent(store: Store) -> None:
    message = await begun(store, OLD)
    taken = await store.claim(
        "other", [AGENT, "other"], ALL, lease_seconds=LEASE_SECONDS, versions={"other": OLD, AGENT: NEW}
    )
    assert taken == []
    taken = await store.claim("other", [AGENT], ALL, lease_seconds=LEASE_SECONDS, versions={AGENT: OLD, "other": NEW})
    assert [each.message.id for each in taken] == [message.id]


async def test_the_version_stays_until_the_message_is_requeued(store: Store) -> None:
    message = await begun(store, OLD, FAILED)
    assert message.agent_version == OLD
    (queued,) = await requeue(store, message.id)
    assert queued.agent_version is None
    assert await version_of(store, message.id) is None
    assert await claimed(store, NEW) == [message.id]
    assert await version_of(store, message.id) == NEW


async def test_a_cancelled_message_leaves_the_list_of_its_version(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    await store.cancel(TENANT, message.id)
    fleet.start(NEW)
    assert await fleet.watch(WAIT_SECONDS) == 0
    assert await claimed(store, OLD) == []


async def test_concurrent_workers_of_two_versions_never_share_a_message(store: Store, other_store: Store) -> None:
    old = await begun(store, OLD)
    fresh = [(await add(store)).id for _ in range(20)]
    taken = await asyncio.gather(*(claim(store if i % 2 else other_store, OLD if i % 2 else NEW, 3) for i in range(14)))
    by_new, by_old = ([each.message.id for batch in taken[i::2] for each in batch] for i in range(2))
    assert sorted(by_old + by_new) == sorted([old.id, *fresh])
    assert old.id in by_old


# Moves


async def test_a_message_stays_with_its_version_while_a_live_worker_has_it(store: Store, fleet: Fleet) -> None:
    fleet.start(OLD)
    fleet.start(NEW)
    message = await begun(store, OLD)
    assert await fleet.watch(10 * WAIT_SECONDS) == 0
    assert await claimed(store, NEW) == []
    assert await version_of(store, message.id) == OLD


async def test_after_the_wait_it_goes_on_with_the_newest_and_an_event_says_so(store: Store, fleet: Fleet) -> None:
    fleet.start(OLD)
    message = await begun(store, OLD)
    await fleet.watch(1)
    fleet.start(NEW)
    fleet.stop(OLD)
    assert await fleet.watch(WAIT_SECONDS - 2) == 0
    assert await claimed(store, NEW) == []
    assert await fleet.watch(2) == 1
    assert await version_of(store, message.id) == NEW
    assert await told(store, message.id, EventType.VERSION) == [{"state": "queued", "from": OLD, "to": NEW}]
    assert await claimed(store, OLD) == []
    (taken,) = await claim(store, NEW)
    assert taken.message.id == message.id
    assert await event_types(store, message.id) == ["processing", "retry", "version", "processing"]
    assert await fleet.watch() == 0


async def test_the_newest_is_the_version_that_was_first_seen_last(
    store: Store, fleet: Fleet, clock: ManualClock
) -> None:
    message = await begun(store, OLD)
    for version in (NEWEST, NEW):  # whatever their names
        fleet.start(version)
        await fleet.watch(5)
    fleet.stop(NEWEST)
    fleet.start(NEWEST)  # a worker that starts again makes its version no newer
    assert await fleet.watch(WAIT_SECONDS) == 1
    assert await version_of(store, message.id) == NEW


async def test_a_version_that_was_away_for_less_than_the_wait_is_waited_for(store: Store, fleet: Fleet) -> None:
    fleet.start(NEW)
    fleet.start(OLD)
    message = await begun(store, OLD)
    for _ in range(3):
        await fleet.watch()
        fleet.stop(OLD)
        assert await fleet.watch(WAIT_SECONDS - 1) == 0
        fleet.start(OLD)
    await fleet.watch()
    assert await claimed(store, OLD) == [message.id]


async def test_the_wait_begins_when_the_version_was_last_seen(store: Store, fleet: Fleet) -> None:
    """An answer that comes days after the deploy does not wait once more."""
    fleet.start(OLD)
    asking = await begun(store, OLD, INTERRUPTED)
    await fleet.watch()
    fleet.stop(OLD)
    fleet.start(NEW)
    await fleet.watch(2 * WAIT_SECONDS)
    await resume(store, asking)
    assert await fleet.watch() == 1
    assert await claimed(store, NEW) == [asking.id]


async def test_a_version_that_nobody_has_seen_is_waited_for_from_then_on(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    fleet.start(NEW)
    assert await fleet.watch(WAIT_SECONDS - 1) == 0
    assert await fleet.watch(1) == 1
    assert await version_of(store, message.id) == NEW


async def test_a_version_that_was_away_for_very_long_is_like_one_that_nobody_has_seen(
    store: Store, fleet: Fleet
) -> None:
    fleet.start(OLD)
    message = await begun(store, OLD, RETRIED)
    await fleet.watch()
    fleet.stop(OLD)
    fleet.start(NEW)
    await fleet.watch(VERSION_KEPT_MS / 1000 + 1)
    await store.promote()
    assert await fleet.watch(WAIT_SECONDS - 1) == 0
    assert await fleet.watch(1) == 1
    assert await version_of(store, message.id) == NEW


async def test_without_a_live_worker_of_its_agent_a_message_stays(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    fleet.start(NEW, agent="other")
    assert await fleet.watch(10 * WAIT_SECONDS) == 0
    assert await version_of(store, message.id) == OLD
    fleet.start(NEW)
    assert await fleet.watch() == 1


async def test_a_version_that_could_not_be_loaded_does_not_count(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    fleet.start(OLD, state=AgentState.FAILED)
    fleet.start(NEWEST, state=AgentState.FAILED)
    fleet.start(NEW, state=AgentState.LOADING)
    assert await fleet.watch(WAIT_SECONDS) == 1
    assert await version_of(store, message.id) == NEW


@pytest.mark.parametrize("state", [AgentState.LOADING, AgentState.STUCK])
async def test_a_worker_that_is_loading_or_stuck_is_waited_for(store: Store, fleet: Fleet, state: AgentState) -> None:
    message = await begun(store, OLD)
    fleet.start(OLD, state=state)
    fleet.start(NEW)
    assert await fleet.watch(10 * WAIT_SECONDS) == 0
    assert await version_of(store, message.id) == OLD


async def test_where_live_workers_name_no_version_any_may_go_on(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    fleet.start("")
    assert await fleet.watch(WAIT_SECONDS) == 1
    assert await told(store, message.id, EventType.VERSION) == [{"state": "queued", "from": OLD, "to": None}]
    assert await claimed(store) == [message.id]
    assert await version_of(store, message.id) is None


async def test_a_named_version_is_newer_than_none(store: Store, fleet: Fleet) -> None:
    message = await begun(store, OLD)
    fleet.start(NEW)
    fleet.start("")
    assert await fleet.watch(WAIT_SECONDS) == 1
    assert await version_of(store, message.id) == NEW


async def test_only_ready_messages_move(store: Store, fleet: Fleet, clock: ManualClock) -> None:
    """A running message may be finished by its worker. A delayed or interrupted one moves when it is ready."""
    asking = await begun(store, OLD, INTERRUPTED)
    delayed = await begun(store, OLD, RETRIED)
    running = await add(store)
    (taken,) = await claim(store, OLD)
    ended = await begun(store, OLD, DONE)
    fleet.start(NEW)
    fleet.start(OLD)
    await fleet.watch()
    fleet.stop(OLD)
    assert await fleet.watch(2 * WAIT_SECONDS) == 0
    for each in (asking, delayed, running, ended):
        assert await version_of(store, each.id) == OLD
    assert await store.promote() == 1
    await store.finish(taken.lease, RELEASED)
    await resume(store, asking)
    assert await fleet.watch() == 3
    assert sorted(await claimed(store, NEW)) == sorted([asking.id, delayed.id, running.id])


async def test_the_order_and_the_heads_of_threads_stay(store: Store, fleet: Fleet) -> None:
    heads = [await begun(store, OLD, thread="a")]
    (taken,) = await claim(store, OLD)
    heads.append(await begun(store, OLD, thread="b"))
    await store.finish(taken.lease, RELEASED)
    urgent = await add(store, thread="b", priority=HIGH)
    fleet.start(NEW)
    before = [(await store.get(TENANT, each.id)).queue_position for each in (*heads, urgent)]
    assert await fleet.watch(WAIT_SECONDS) == 2
    assert [(await store.get(TENANT, each.id)).queue_position for each in (*heads, urgent)] == before
    assert await claimed(store, NEW) == [heads[1].id, heads[0].id]


async def test_more_messages_move_than_one_transaction_takes(store: Store, fleet: Fleet) -> None:
    ids = [(await add(store)).id for _ in range(230)]
    for taken in await claim(store, OLD, ALL):
        await store.finish(taken.lease, RELEASED)
    fleet.start(NEW)
    assert await fleet.watch(WAIT_SECONDS) == len(ids)
    assert await claimed(store, NEW) == ids


async def test_processes_that_move_at_the_same_time_move_each_message_once(
    store: Store, other_store: Store, fleet: Fleet
) -> None:
    ids = [(await add(store)).id for _ in range(40)]
    for taken in await claim(store, OLD, ALL):
        await store.finish(taken.lease, RELEASED)
    fleet.start(NEW)
    await fleet.watch(WAIT_SECONDS - 1)
    fleet.advance(1)
    moved = await asyncio.gather(
        *((store if i % 2 else other_store).move_versions(wait_seconds=WAIT_SECONDS) for i in range(6))
    )
    assert sum(moved) == len(ids)
    assert [await event_types(store, each) for each in ids] == [["processing", "retry", "version"]] * len(ids)


async def test_names_of_agents_and_versions_are_not_mixed_up(store: Store, fleet: Fleet) -> None:
    pairs = [("a:b", "c"), ("a", "b:c"), ("1:a", "b"), ("a", "1:b")]
    for agent, version in pairs:
        message = await add(store, agent=agent)
        for other, another in pairs:
            if other != agent:
                assert await claim(store, another, 1, other) == []
        (taken,) = await claim(store, version, 1, agent)
        assert taken.message.id == message.id
        await store.finish(taken.lease, RELEASED)
        assert await claim(store, "x", 1, agent) == []
        (taken,) = await claim(store, version, 1, agent)
        await store.finish(taken.lease, DONE)
