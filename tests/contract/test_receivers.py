"""Receivers of a message's events beside its webhook: put, replaced, removed, and told of each question and the end."""

import asyncio
import json
from dataclasses import replace

import pytest

from app.errors import MessageNotFound
from app.models.audit import AuditAction, NewAudit
from app.models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryState, Receiver, WebhookForm
from app.models.keys import NewKey
from app.models.messages import Message, MessageOptions, MessageState, Page
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    CANCELLED,
    DONE,
    FAILED,
    INTERRUPTED,
    OTHER_TENANT,
    TENANT,
    add,
    claim,
    claim_one,
    requeue,
    resume,
    start,
)
from tests.contract.test_audit import records

URL = "https://example.com/hook"
FIRST = Receiver(name="first", url="https://a.example/ü", form=WebhookForm.TASK, token='a "b" \\ /', key="r1")
SECOND = Receiver(name="second é👍", url="https://b.example", form=WebhookForm.OLD_TASK, signing_key="k", key="r2")
LIMIT = 2


async def of(store: Store, message_id: str) -> list[Delivery]:
    return await store.list_deliveries(TENANT, message_id)


async def told(store: Store, message_id: str) -> list[tuple[str | None, str]]:
    """Receiver and event of each delivery, sorted."""
    return sorted(((each.receiver, each.event.value) for each in await of(store, message_id)), key=repr)


async def put(store: Store, message: Message, receiver: Receiver) -> bool:
    return await store.put_receiver(message.tenant, message.id, receiver, limit=LIMIT)


async def test_receivers_come_with_a_message_and_are_read_with_it(store: Store) -> None:
    added = await add(store, receivers=(FIRST, SECOND))
    assert added.receivers == (FIRST, SECOND)
    assert (await store.get(TENANT, added.id)).receivers == (FIRST, SECOND)
    (claimed,) = await claim(store)
    assert claimed.message.receivers == (FIRST, SECOND)
    assert (await store.get(TENANT, (await add(store)).id)).receivers == ()


async def test_a_receiver_is_put_in_place_of_the_one_with_its_name(store: Store) -> None:
    message = await add(store)
    for receiver in (FIRST, SECOND):
        assert await put(store, message, receiver)
    assert (await store.get(TENANT, message.id)).receivers == (FIRST, SECOND)
    newer = FIRST.model_copy(update={"url": URL, "key": "r3", "token": None})
    assert await put(store, message, newer)
    assert (await store.get(TENANT, message.id)).receivers == (SECOND, newer)


async def test_a_message_has_no_more_receivers_than_the_limit(store: Store) -> None:
    message = await add(store, receivers=(FIRST, SECOND))
    assert not await put(store, message, FIRST.model_copy(update={"name": "third"}))
    assert (await store.get(TENANT, message.id)).receivers == (FIRST, SECOND)
    assert await put(store, message, SECOND), "one that is replaced does not count"


async def test_a_receiver_is_removed_once(store: Store) -> None:
    message = await add(store, receivers=(FIRST, SECOND))
    assert await store.remove_receiver(TENANT, message.id, SECOND.name)
    assert not await store.remove_receiver(TENANT, message.id, SECOND.name)
    assert (await store.get(TENANT, message.id)).receivers == (FIRST,)
    assert await store.remove_receiver(TENANT, message.id, FIRST.name)
    assert (await store.get(TENANT, message.id)).receivers == ()


async def test_receivers_of_other_tenants_and_of_nothing_are_not_found(store: Store) -> None:
    message = await add(store, receivers=(FIRST,))
    for tenant, name in ((OTHER_TENANT, message.id), (TENANT, "missing")):
        with pytest.raises(MessageNotFound):
            await store.put_receiver(tenant, name, SECOND, limit=LIMIT)
        with pytest.raises(MessageNotFound):
            await store.remove_receiver(tenant, name, FIRST.name)
    assert (await store.get(TENANT, message.id)).receivers == (FIRST,)


async def test_receivers_that_are_put_side_by_side_are_all_kept(store: Store) -> None:
    message = await add(store)
    names = [str(number) for number in range(20)]
    given = [FIRST.model_copy(update={"name": name}) for name in names]
    done = await asyncio.gather(*(store.put_receiver(TENANT, message.id, each, limit=10) for each in given))
    assert done.count(True) == 10
    kept = {each.name for each in (await store.get(TENANT, message.id)).receivers}
    assert kept == {name for name, was_put in zip(names, done, strict=True) if was_put}


async def test_a_change_of_receivers_is_recorded_if_it_changes_something(store: Store) -> None:
    message = await add(store, receivers=(FIRST,))
    audit = NewAudit("key:k", "k", None, AuditAction.CHANGE_MESSAGE, TENANT, (message.id,), {"receiver": "x"})
    assert await store.put_receiver(TENANT, message.id, SECOND, limit=LIMIT, audit=audit)
    assert not await store.put_receiver(
        TENANT, message.id, FIRST.model_copy(update={"name": "third"}), limit=LIMIT, audit=audit
    )
    assert await store.remove_receiver(TENANT, message.id, FIRST.name, audit=audit)
    assert not await store.remove_receiver(TENANT, message.id, FIRST.name, audit=audit)
    assert [each.details for each in await records(store)] == [{"receiver": "x"}] * 2


async def test_each_receiver_is_told_of_each_question_and_of_the_end(store: Store) -> None:
    """The webhook is told of what it asks for alone."""
    lease = await start(store, thread="t", webhook_url=URL, receivers=(FIRST,))
    await store.finish(lease, INTERRUPTED)
    (question,) = await of(store, lease.message_id)
    message = await store.get(TENANT, lease.message_id)
    assert question.id.startswith(f"{message.id}.{message.number}.")
    assert question.id.endswith(f".{FIRST.key}")
    assert (question.url, question.receiver, question.thread_id) == (FIRST.url, FIRST.key, "t")
    assert json.loads(question.data)["interrupts"]
    assert await put(store, message, SECOND)
    await resume(store, message)
    await store.finish(await claim_one(store), DONE)
    assert await told(store, message.id) == [
        ("r1", "completed"), ("r1", "interrupted"), ("r2", "completed"), (None, "completed"),
    ]  # fmt: skip
    ids = {each.id for each in await of(store, message.id)}
    assert {f"{message.id}.{message.number}{end}" for end in ("", ".r1", ".r2")} | {question.id} == ids
    taken = await store.claim_deliveries(ALL, lease_seconds=30.0)
    assert {each.id: each.receiver for each in taken} == {
        each.id: each.receiver for each in await of(store, message.id)
    }


@pytest.mark.parametrize("outcome", [DONE, FAILED, CANCELLED], ids=lambda each: type(each).__name__)
async def test_each_end_is_told(store: Store, outcome: object) -> None:
    lease = await start(store, receivers=(FIRST, SECOND))
    await store.finish(lease, outcome)  # type: ignore[arg-type]  # one of the outcomes
    state = (await store.get(TENANT, lease.message_id)).state.value
    assert await told(store, lease.message_id) == [("r1", state), ("r2", state)]


async def test_ends_without_a_worker_are_told(store: Store, clock: ManualClock) -> None:
    waiting = await add(store, receivers=(FIRST,))
    await store.cancel(TENANT, waiting.id)
    assert await told(store, waiting.id) == [("r1", "cancelled")]
    asking = await start(store, receivers=(FIRST,))
    await store.finish(asking, replace(INTERRUPTED, ttl_seconds=1.0))
    clock.advance(2)
    await store.expire_interrupts()
    assert await told(store, asking.message_id) == [("r1", "failed"), ("r1", "interrupted")]
    (again,) = await requeue(store, asking.message_id)
    assert again.receivers == (FIRST,)
    crashing = await claim_one(store)
    clock.advance(1_000)
    await store.rescue(max_crashes=1)
    assert (await store.get(TENANT, crashing.message_id)).state is MessageState.FAILED
    assert (await told(store, crashing.message_id)).count(("r1", "failed")) == 2


async def test_many_messages_that_end_together_are_told_to_their_own(store: Store) -> None:
    given = [(), (FIRST,), (FIRST, SECOND)]
    leases = [await start(store, receivers=given[number % 3]) for number in range(9)]
    await asyncio.gather(*(store.finish(lease, DONE) for lease in leases))
    for number, lease in enumerate(leases):
        assert [each for each, _ in await told(store, lease.message_id)] == [each.key for each in given[number % 3]]


async def test_a_removed_receiver_is_told_no_more(store: Store) -> None:
    lease = await start(store, receivers=(FIRST, SECOND))
    await store.finish(lease, INTERRUPTED)
    await store.remove_receiver(TENANT, lease.message_id, FIRST.name)
    await resume(store, await store.get(TENANT, lease.message_id))
    await store.finish(await claim_one(store), DONE)
    assert await told(store, lease.message_id) == [("r1", "interrupted"), ("r2", "completed"), ("r2", "interrupted")]


async def test_the_sender_gets_the_receiver_and_the_secret_of_its_key(store: Store) -> None:
    for name in ("k", "m"):
        await store.add_key(NewKey(name, TENANT, "", ("read",), name, webhook_secret=f"whsec_{name}"))
    options = MessageOptions(webhook_form=WebhookForm.RESPONSE)
    message = await add(store, receivers=(FIRST, SECOND), webhook_url=URL, webhook_key="m", options=options)
    webhook = await store.sender_details(message.id)
    assert (webhook.secret, webhook.form, webhook.token, webhook.receiver) == (
        "whsec_m", WebhookForm.RESPONSE, None, None,
    )  # fmt: skip
    first = await store.sender_details(message.id, FIRST.key)
    assert (first.secret, first.form, first.token, first.named_receiver) == (
        None, WebhookForm.TASK, FIRST.token, FIRST,
    )  # fmt: skip
    second = await store.sender_details(message.id, SECOND.key)
    assert (second.secret, second.form, second.named_receiver) == ("whsec_k", WebhookForm.OLD_TASK, SECOND)
    removed = await store.sender_details(message.id, "r3")
    assert (removed.receiver, removed.secret) == (None, None)


async def test_deliveries_to_receivers_are_listed_replayed_and_deleted(store: Store, clock: ManualClock) -> None:
    lease = await start(store, receivers=(FIRST,))
    await store.finish(lease, DONE)
    (taken,) = await store.claim_deliveries(ALL, lease_seconds=30.0)
    attempt = DeliveryAttempt(at=store.now(), status=204, error=None)
    assert await store.settle_delivery(taken, attempt, next_in=None)
    found = await store.find_deliveries(TENANT, DeliveryFilter(), Page(10))
    assert [(each.id, each.receiver, each.state) for each in found] == [(taken.id, "r1", DeliveryState.DELIVERED)]
    assert (await store.replay_delivery(TENANT, taken.id)).receiver == "r1"
    clock.advance(60)
    await store.prune_messages(older_than_seconds=30, limit=10)
    assert await of(store, lease.message_id) == []
    assert await store.find_deliveries(TENANT, DeliveryFilter(), Page(10)) == []
