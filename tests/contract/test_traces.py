"""The trace of a message: kept with it, shown in lists, replaced under its fence."""

from app.models.messages import MessageFilter, Page
from app.models.traces import Trace
from app.store.ports import Store
from tests.contract.builders import (
    AGENT,
    DONE,
    INTERRUPTED,
    LEASE_SECONDS,
    TENANT,
    WORKER,
    add,
    add_all,
    claim_one,
    dead_letter,
    new,
    requeue,
    resume,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIRST = f"00-{TRACE}-00f067aa0ba902b7-01\na=1"
SECOND = f"{FIRST}\n00-{TRACE}-00f067aa0ba902b8-01"


async def test_a_trace_is_kept_with_its_message(store: Store) -> None:
    traced, other = await add_all(store, new(trace=FIRST), new())
    assert (traced.trace, other.trace) == (FIRST, None)
    listed = await store.list_messages(TENANT, MessageFilter(), Page(10))
    assert {message.id: message.trace for message in listed} == {traced.id: FIRST, other.id: None}
    claims = await store.claim(WORKER, [AGENT], 2, lease_seconds=LEASE_SECONDS)
    assert [claim.message.trace for claim in claims] == [FIRST, None]
    for claim in claims:
        await store.finish(claim.lease, DONE)
    assert (await store.get(TENANT, traced.id)).trace == FIRST


async def test_a_trace_is_replaced_by_who_holds_the_fence(store: Store) -> None:
    message = await add(store, trace=FIRST)
    await store.keep_trace(message.id, message.fence + 1, "nothing")
    assert (await store.get(TENANT, message.id)).trace == FIRST
    lease = await claim_one(store)
    await store.keep_trace(lease.message_id, lease.fence, SECOND)
    await store.finish(lease, INTERRUPTED)
    await store.keep_trace(lease.message_id, lease.fence, "too late")
    asked = await store.get(TENANT, message.id)
    assert asked.trace == SECOND
    third = str(Trace.of(SECOND)._replace(answer=f"00-{TRACE[::-1]}-00f067aa0ba902b9-01"))
    await store.keep_trace(asked.id, asked.fence, third)
    await resume(store, asked)
    (claimed,) = await store.claim(WORKER, [AGENT], 1, lease_seconds=LEASE_SECONDS)
    assert claimed.message.trace == third
    await store.keep_trace("missing", 1, FIRST)


async def test_a_trace_survives_a_requeue(store: Store) -> None:
    failed = await dead_letter(store, trace=FIRST)
    (requeued,) = await requeue(store, failed.id)
    assert requeued.trace == FIRST
    assert (await store.get(TENANT, failed.id)).trace == FIRST


async def test_the_sender_of_webhooks_gets_the_trace(store: Store) -> None:
    traced, other = await add_all(store, new(trace=FIRST), new())
    assert (await store.sender_details(traced.id)).trace == FIRST
    assert await store.sender_details(other.id) == (None, None, None, None, None)
    assert await store.sender_details("missing") == (None, None, None, None, None)
