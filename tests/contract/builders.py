"""Short words for what every contract test does: make messages, claim them, end them, look at them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.access.principals import ANONYMOUS
from app.models.attempts import Beat, Cancelled, Claim, Completed, Failed, Interrupted, Lease, Released, Retry
from app.models.events import Event, EventPage, EventType, NewEvent
from app.models.messages import (
    DEFAULT_TENANT,
    Message,
    MessageFilter,
    MessageState,
    NewMessage,
    Page,
    Priority,
    RequestKey,
    Thread,
    new_message_id,
)
from app.models.workers import Worker
from app.store.ports import Store

TENANT = DEFAULT_TENANT
OTHER_TENANT = "somebody else"
CALLER = ANONYMOUS
OTHER_CALLER = ANONYMOUS._replace(tenant=OTHER_TENANT)
AGENT = "chat"
WORKER = "worker 1"
LEASE_SECONDS = 30.0
ALL = 1_000_000
"""A limit that nothing in a test reaches."""

DONE = Completed("The answer.")
FAILED = Failed("It broke.", "agent_error")
RELEASED = Released("The worker was stopped.")
RETRIED = Retry("It broke for now.", "agent_error", 5.0)
INTERRUPTED = Interrupted('[{"id": "question", "value": "Shall I?"}]', 3600.0)
CANCELLED = Cancelled()
OUTCOMES = (DONE, FAILED, RELEASED, RETRIED, INTERRUPTED, CANCELLED)
ENDS = (DONE, FAILED, CANCELLED)
"""The outcomes that end a message."""

ANSWER = '{"question": true}'
"""To what INTERRUPTED asks."""

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def new(
    content: str = "Hello",
    *,
    thread: str | None = None,
    priority: Priority = NORMAL,
    agent: str = AGENT,
    tenant: str = TENANT,
    **fields: Any,
) -> NewMessage:
    """A message, not yet accepted."""
    return NewMessage(
        id=new_message_id(), tenant=tenant, thread_id=thread, agent=agent, content=content, priority=priority, **fields
    )


async def add(store: Store, content: str = "Hello", *, max_queued: int = ALL, **fields: Any) -> Message:
    """Accept a message with these fields of `new`."""
    return (await store.add([new(content, **fields)], max_queued=max_queued)).messages[0]


async def add_all(
    store: Store, *news: NewMessage, max_queued: int = ALL, key: RequestKey | None = None
) -> list[Message]:
    """Accept these in one call."""
    return (await store.add(news, max_queued=max_queued, key=key)).messages


def request_key(name: str = "key", fingerprint: str = "this request", tenant: str = TENANT) -> RequestKey:
    """The key of a request."""
    return RequestKey(tenant, name, fingerprint)


async def claim(
    store: Store,
    limit: int = 1,
    *,
    worker: str = WORKER,
    agents: Sequence[str] = (AGENT,),
    lease_seconds: float = LEASE_SECONDS,
) -> list[Claim]:
    """Claim as this worker."""
    return await store.claim(worker, agents, limit, lease_seconds=lease_seconds)


async def claim_one(store: Store, **options: Any) -> Lease:
    """Claim one message; there has to be one."""
    (claimed,) = await claim(store, **options)
    return claimed.lease


async def claimed_ids(store: Store, limit: int = ALL, **options: Any) -> list[str]:
    """The ids of what a claim takes, in its order."""
    return [taken.message.id for taken in await claim(store, limit, **options)]


async def start(store: Store, **fields: Any) -> Lease:
    """Accept a message into an otherwise empty queue and claim it."""
    message = await add(store, **fields)
    lease = await claim_one(store, agents=[message.agent])
    assert lease.message_id == message.id, "another message was ready"
    return lease


async def drain(store: Store, **options: Any) -> list[str]:
    """Claim and complete one message after the other until none is ready; their ids in that order."""
    ids = []
    while claims := await claim(store, **options):
        ids.append(claims[0].message.id)
        await store.finish(claims[0].lease, DONE)
    return ids


async def cancel_running(store: Store, message_id: str, tenant: str = TENANT) -> Message:
    """Cancel a message whatever it is doing."""
    return await store.cancel(tenant, message_id, running=True)


async def interrupt(store: Store, **fields: Any) -> Message:
    """A message, into an otherwise empty queue, whose agent asks a human."""
    lease = await start(store, **fields)
    await store.finish(lease, INTERRUPTED)
    return await store.get(fields.get("tenant", TENANT), lease.message_id)


async def resume(store: Store, asking: Message, value: str = ANSWER, *, key: RequestKey | None = None) -> Message:
    """Answer what this message asks."""
    return (await store.resume(asking.tenant, asking.id, asking.fence, value, key=key)).messages[0]


async def dead_letter(store: Store, outcome: Failed = FAILED, **fields: Any) -> Message:
    """A message, into an otherwise empty queue, that has failed."""
    lease = await start(store, **fields)
    await store.finish(lease, outcome)
    return await store.get(fields.get("tenant", TENANT), lease.message_id)


async def requeue(store: Store, *message_ids: str, tenant: str = TENANT) -> list[Message]:
    """Put these back into the queue."""
    return await store.requeue(tenant, message_ids)


async def state_of(store: Store, message_id: str, tenant: str = TENANT) -> MessageState:
    """The state of a message."""
    return (await store.get(tenant, message_id)).state


async def listed(store: Store, tenant: str = TENANT, **fields: Any) -> list[str]:
    """The ids of all messages with these fields of a filter, the newest first."""
    return [message.id for message in await store.list_messages(tenant, MessageFilter(**fields), Page(ALL))]


def chunk(index: int, text: str = "token ") -> NewEvent:
    """A piece of an answer."""
    return NewEvent.chunk("content", text, index)


async def page(store: Store, message_id: str, *, after: int = 0, limit: int = ALL) -> EventPage:
    """A part of a message's log."""
    return await store.read(TENANT, message_id, after=after, limit=limit)


async def log(store: Store, message_id: str) -> list[Event]:
    """The whole log of a message."""
    return list((await page(store, message_id)).events)


async def told(store: Store, message_id: str, type: EventType) -> list[dict[str, Any]]:
    """The data of a message's events of this type."""
    return [json.loads(event.data) for event in await log(store, message_id) if event.type is type]


async def event_types(store: Store, message_id: str) -> list[str]:
    """The types of a message's log."""
    return [event.type.value for event in await log(store, message_id)]


async def seen(store: Store, message_id: str) -> tuple[Message, EventPage]:
    """All that a message shows, to be compared with what it shows later."""
    return await store.get(TENANT, message_id), await page(store, message_id)


async def all_threads(store: Store, tenant: str = TENANT) -> list[Thread]:
    """Every thread of a tenant."""
    return await store.list_threads(tenant, Page(ALL))


async def thread_messages(store: Store, thread: str, tenant: str = TENANT) -> list[Message]:
    """Every message of a thread."""
    return await store.list_thread_messages(tenant, thread, after=0, limit=ALL)


def worker(id: str = WORKER, slots: int = 1) -> Worker:
    """A worker as it shows itself."""
    now = datetime.now(UTC)
    return Worker(id=id, host="here", pid=1, slots=slots, started_at=now, last_beat=now)


async def beat(store: Store, id: str = WORKER, *, lease_seconds: float = LEASE_SECONDS) -> Beat:
    """One heartbeat of a worker that takes everything in progress for its own."""
    running = (await store.summary(TENANT, limit=ALL)).processing
    leases = [Lease(message.id, message.fence, message.attempt, id) for message in running]
    with store.open_lease_renewer() as renewer:
        return renewer.beat(worker(id), leases, lease_seconds=lease_seconds)
