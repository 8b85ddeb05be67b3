"""Promises of `AttemptStore.claim`."""

import asyncio
import json
from collections import Counter

from app.clock import to_datetime
from app.models.events import EventType
from app.models.messages import MessageState, Priority
from app.store.ports import Store
from tests.clock import START, ManualClock
from tests.contract.builders import (
    AGENT,
    ALL,
    DONE,
    HIGH,
    LOW,
    OTHER_TENANT,
    RELEASED,
    TENANT,
    WORKER,
    add,
    claim,
    claim_one,
    claimed_ids,
    drain,
    log,
    start,
)


async def test_an_empty_queue_gives_nothing(store: Store) -> None:
    assert await claim(store, ALL) == []


async def test_a_claimed_message_is_being_processed(store: Store, clock: ManualClock) -> None:
    message = await add(store, thread="t", priority=HIGH)
    clock.advance(5)
    (claimed,) = await claim(store)
    after = await store.get(TENANT, message.id)
    assert claimed.message == after
    assert after.state is MessageState.PROCESSING
    assert after.started_at == to_datetime(START + 5_000)
    assert after.queue_position is None
    changed = ("state", "started_at", "queue_position", "attempt", "fence", "readiness")
    assert after._replace(**{name: getattr(message, name) for name in changed}) == message


async def test_the_lease_names_message_worker_attempt_and_fence(store: Store) -> None:
    message = await add(store)
    (claimed,) = await claim(store)
    assert claimed.lease == (message.id, claimed.message.fence, 1, WORKER)
    assert claimed.message.attempt == 1
    assert claimed.message.fence > message.fence


async def test_a_claim_begins_the_log_with_processing(store: Store) -> None:
    lease = await start(store)
    (event,) = await log(store, lease.message_id)
    assert (event.id, event.type) == (1, EventType.PROCESSING)
    assert json.loads(event.data) == {"state": "processing", "attempt": 1}


async def test_each_claim_raises_attempt_and_fence(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    for attempt in (2, 3):
        clock.advance(60)
        await store.rescue()
        again = await claim_one(store)
        assert again.message_id == lease.message_id
        assert again.attempt == attempt
        assert again.fence > lease.fence
        lease = again
    attempts = [json.loads(e.data)["attempt"] for e in await log(store, lease.message_id) if e.type == "processing"]
    assert attempts == [1, 2, 3]


async def test_a_later_attempt_keeps_the_time_of_the_first_start(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    started = (await store.get(TENANT, lease.message_id)).started_at
    await store.finish(lease, RELEASED)
    clock.advance(5)
    await claim_one(store)
    assert (await store.get(TENANT, lease.message_id)).started_at == started


async def test_a_claim_takes_no_more_than_its_limit(store: Store) -> None:
    ids = [(await add(store)).id for _ in range(5)]
    assert await claimed_ids(store, 0) == []
    assert await claimed_ids(store, 2) == ids[:2]
    assert await claimed_ids(store, 10) == ids[2:]


async def test_a_claim_gives_the_lowest_ranks_in_order(store: Store) -> None:
    ids: dict[Priority, list[str]] = {priority: [] for priority in Priority}
    for priority in (LOW, HIGH, Priority.NORMAL, LOW, HIGH):
        ids[priority].append((await add(store, priority=priority)).id)
    assert await claimed_ids(store) == [*ids[HIGH], *ids[Priority.NORMAL], *ids[LOW]]


async def test_a_message_of_another_agent_is_not_claimed(store: Store) -> None:
    await add(store, agent="other", priority=HIGH)
    ours = await add(store, priority=LOW)
    assert await claimed_ids(store, agents=[AGENT]) == [ours.id]
    assert await claimed_ids(store, agents=[AGENT]) == []
    assert await claimed_ids(store, agents=[]) == []


async def test_messages_of_another_agent_block_nobody(store: Store) -> None:
    for thread in ("a", "b", None):
        await add(store, agent="other", priority=HIGH, thread=thread)
    ours = [(await add(store, thread=thread)).id for thread in ("c", None)]
    assert await drain(store) == ours


async def test_a_thread_waits_for_its_head_whichever_agent_it_needs(store: Store) -> None:
    head = await add(store, thread="t", agent="other")
    behind = await add(store, thread="t")
    assert await claimed_ids(store) == []
    lease = await claim_one(store, agents=["other"])
    assert lease.message_id == head.id
    await store.finish(lease, DONE)
    assert await claimed_ids(store) == [behind.id]


async def test_a_claim_for_several_agents_takes_the_lowest_ranks_of_all(store: Store) -> None:
    agents = ["a", "b", "c"]
    ids = [(await add(store, agent=agents[i % 3])).id for i in range(9)]
    urgent = (await add(store, agent="c", priority=HIGH)).id
    assert await claimed_ids(store, 4, agents=agents) == [urgent, *ids[:3]]
    assert await claimed_ids(store, agents=["b", "a"]) == [ids[3], ids[4], ids[6], ids[7]]


async def test_an_agent_that_is_named_twice_is_claimed_for_once(store: Store) -> None:
    ids = [(await add(store)).id for _ in range(3)]
    claims = await claim(store, 2, agents=[AGENT, AGENT])
    assert [each.message.id for each in claims] == ids[:2]
    assert len(await log(store, ids[0])) == 1


async def test_a_worker_claims_for_all_tenants(store: Store) -> None:
    ids = [(await add(store, tenant=tenant)).id for tenant in (TENANT, OTHER_TENANT)]
    assert await claimed_ids(store) == ids


async def test_concurrent_claims_never_share_a_message(store: Store) -> None:
    threads = [f"t{i % 15}" if i % 2 else None for i in range(60)]
    messages = await asyncio.gather(*(add(store, thread=thread) for thread in threads))
    ready = {message.id for message in messages if message.thread_number <= 1}
    claims = await asyncio.gather(*(claim(store, 3, worker=f"worker {i}") for i in range(30)))
    leases = [each.lease for batch in claims for each in batch]
    assert Counter(lease.message_id for lease in leases) == Counter(ready)
    for i, batch in enumerate(claims):
        assert {each.lease.worker_id for each in batch} <= {f"worker {i}"}
    logs = await asyncio.gather(*(log(store, lease.message_id) for lease in leases))
    assert all(len(events) == 1 for events in logs)


async def test_concurrent_workers_run_everything_once_and_threads_in_order(store: Store) -> None:
    threads = [["a", "b", "c", None][i % 4] for i in range(40)]
    messages = {m.id: m for m in await asyncio.gather(*(add(store, thread=thread) for thread in threads))}
    ran: list[str] = []
    running: Counter[str | None] = Counter()

    async def work(name: str) -> None:
        while len(ran) < len(messages):
            for claimed in await claim(store, 2, worker=name):
                thread = claimed.message.thread_id
                running[thread] += 1
                assert thread is None or running[thread] == 1, "two messages of a thread at once"
                ran.append(claimed.message.id)
                await store.append(claimed.lease, [])
                running[thread] -= 1
                await store.finish(claimed.lease, DONE)

    async with asyncio.timeout(30):
        await asyncio.gather(*(work(f"worker {i}") for i in range(5)))
    assert Counter(ran) == Counter(messages.keys())
    for name in ("a", "b", "c"):
        numbers = [messages[each].thread_number for each in ran if messages[each].thread_id == name]
        assert numbers == sorted(numbers)
