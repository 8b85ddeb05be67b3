"""News of messages that ended, sent to real receivers from a real store."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.errors import StoreUnavailable
from app.models.attempts import Cancelled, Completed, Failed
from app.models.deliveries import Delivery, DeliveryAttempt, DeliveryState
from app.observability.outages import Outage
from app.startup import redactor_of
from app.store.sqlite.store import SqliteStore
from app.webhooks import sender as webhooks
from app.webhooks.sender import LEASE_SECONDS, PARALLEL, WebhookSender
from tests.clock import ManualClock
from tests.contract.builders import CANCELLED, DONE, FAILED, TENANT, start
from tests.receiver import Received, answer, receiver
from tests.servers import DEADLINE_SECONDS, settings_for, until
from tests.unit.sqlite_tools import opened

SECRET = "whsec_" + base64.b64encode(b"the secret of these tests, 1").decode()
NEXT_SECRET = "whsec_" + base64.b64encode(b"the secret of these tests, 2").decode()
STANDARD_SCHEDULE = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600]


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[SqliteStore]:
    async with opened(None, clock) as backend:
        yield backend


@asynccontextmanager
async def sender(store: SqliteStore, secret: str | None = SECRET, **options: Any) -> AsyncIterator[WebhookSender]:
    """One that sends when it is told to; what it has under way ends with the test."""
    settings = settings_for(Path(), webhook_secret=secret, webhook_allow_private=True)
    sending = WebhookSender(store, settings, outage=Outage("It works again"), **options)
    try:
        yield sending
    finally:
        await sending.stop()


async def ended(
    store: SqliteStore, url: str, outcome: Completed | Failed | Cancelled = DONE, thread: str | None = None
) -> str:
    """The id of a message with this URL that has just ended."""
    lease = await start(store, webhook_url=url, thread=thread)
    await store.finish(lease, outcome)
    return lease.message_id


async def delivery_of(store: SqliteStore, message_id: str) -> Delivery:
    [delivery] = await store.list_deliveries(TENANT, message_id)
    return delivery


async def tried(store: SqliteStore, message_id: str, times: int) -> Delivery:
    """The delivery once so many tries are noted."""

    async def look() -> Delivery | None:
        delivery = await delivery_of(store, message_id)
        return delivery if len(delivery.attempts) == times else None

    found: Delivery = await until(look, f"{times} tries are noted")
    return found


def verified(got: Received, secret: str = SECRET) -> dict[str, Any]:
    """The body, by the reading of the standard's own library."""
    return dict(Webhook(secret).verify(got.body, got.headers))


def noted(delivery: Delivery) -> list[tuple[int | None, str | None]]:
    return [(attempt.status, attempt.error) for attempt in delivery.attempts]


@pytest.mark.parametrize(
    ("outcome", "type", "fields"),
    [
        (DONE, "message.completed", {"state": "completed", "result": "The answer."}),
        (FAILED, "message.failed", {"state": "failed", "error": "It broke.", "code": "agent_error"}),
        (CANCELLED, "message.cancelled", {"state": "cancelled"}),
    ],
)
@pytest.mark.parametrize("thread", [None, "thread 1"])
async def test_the_end_of_a_message_is_told_signed(
    store: SqliteStore,
    outcome: Completed | Failed | Cancelled,
    type: str,
    fields: dict[str, str],
    thread: str | None,
) -> None:
    async with receiver() as there, sender(store) as sending:
        message_id = await ended(store, there.url("/hook?a=b"), outcome, thread)
        assert await sending.send_due() == 1
        delivery = await tried(store, message_id, 1)

    [got] = there.requests
    at = "2023-11-14T22:13:20.000Z"
    assert (got.method, got.target, got.headers["content-type"]) == ("POST", "/hook?a=b", "application/json")
    assert got.headers["webhook-id"] == delivery.id
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert verified(got) == {
        "type": type,
        "timestamp": at,
        "data": {"message_id": message_id, "thread_id": thread, **fields, "completed_at": at},
    }
    assert got.body == json.dumps(json.loads(got.body), separators=(",", ":")).encode()
    assert delivery.state is DeliveryState.DELIVERED
    assert noted(delivery) == [(204, None)]


async def test_what_was_changed_on_the_way_is_not_verified(store: SqliteStore) -> None:
    async with receiver() as there, sender(store) as sending:
        await ended(store, there.url())
        await sending.send_due()
        [got] = await until(lambda: there.requests, "it is sent")

    with pytest.raises(WebhookVerificationError):
        verified(got._replace(body=got.body.replace(b"The answer", b"An answer")))
    with pytest.raises(WebhookVerificationError):
        verified(got._replace(headers={**got.headers, "webhook-id": "another"}))
    with pytest.raises(WebhookVerificationError):
        verified(got, NEXT_SECRET)


async def test_while_secrets_are_changed_both_sign(store: SqliteStore) -> None:
    async with receiver() as there, sender(store, f"{NEXT_SECRET} {SECRET}") as sending:
        await ended(store, there.url())
        await sending.send_due()
        [got] = await until(lambda: there.requests, "it is sent")

    assert verified(got, SECRET) == verified(got, NEXT_SECRET)
    assert len(got.headers["webhook-signature"].split(" ")) == 2


async def test_a_receiver_that_fails_is_tried_by_the_standards_schedule_and_then_given_up(
    store: SqliteStore, clock: ManualClock
) -> None:
    async with receiver(answers=[answer(500, body=b"secret of the receiver")] * 10) as there, sender(store) as sending:
        message_id = await ended(store, there.url())
        assert await sending.send_due() == 1
        for number, seconds in enumerate(STANDARD_SCHEDULE, start=1):
            await tried(store, message_id, number)
            clock.advance(seconds - 0.001)
            assert await sending.send_due() == 0
            clock.advance(0.001)
            assert await sending.send_due() == 1
        delivery = await tried(store, message_id, 10)
        clock.advance(10 * 86400)
        assert await sending.send_due() == 0

    assert (delivery.state, delivery.next_at) == (DeliveryState.FAILED, None)
    assert noted(delivery) == [(500, "The receiver answered 500.")] * 10
    assert {got.headers["webhook-id"] for got in there.requests} == {delivery.id}
    assert len({got.body for got in there.requests}) == 1
    assert [verified(got)["type"] for got in there.requests] == ["message.completed"] * 10


async def test_a_receiver_that_recovers_gets_it(store: SqliteStore, clock: ManualClock) -> None:
    async with receiver(answers=[answer(503)]) as there, sender(store) as sending:
        message_id = await ended(store, there.url())
        await sending.send_due()
        await tried(store, message_id, 1)
        clock.advance(5)
        await sending.send_due()
        delivery = await tried(store, message_id, 2)

    assert delivery.state is DeliveryState.DELIVERED
    assert noted(delivery) == [(503, "The receiver answered 503."), (204, None)]


async def test_a_receiver_that_is_gone_is_not_tried_again(store: SqliteStore) -> None:
    async with receiver(answers=[answer(410)]) as there, sender(store) as sending:
        message_id = await ended(store, there.url())
        await sending.send_due()
        delivery = await tried(store, message_id, 1)

    assert (delivery.state, delivery.next_at) == (DeliveryState.FAILED, None)
    assert noted(delivery) == [(410, "The receiver answered 410.")]


async def test_a_redirect_is_a_failure_and_not_followed(store: SqliteStore) -> None:
    async with receiver() as elsewhere, receiver() as there, sender(store) as sending:
        there.answers = [answer(307, f"Location: {elsewhere.url()}")]
        message_id = await ended(store, there.url())
        await sending.send_due()
        delivery = await tried(store, message_id, 1)

    assert noted(delivery) == [(307, "The receiver answered 307.")]
    assert (delivery.state, elsewhere.requests) == (DeliveryState.PENDING, [])


async def test_a_receiver_that_does_not_answer_is_left_and_delays_nobody(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.01)
    async with receiver() as slow, receiver() as there, sender(store) as sending:
        slow.open.clear()
        waiting = await ended(store, slow.url())
        sending.start()
        await until(lambda: slow.requests, "the slow one was asked")
        await tried(store, await ended(store, there.url()), 1)

        assert (await delivery_of(store, waiting)).attempts == ()


async def test_a_receiver_that_does_not_answer_in_time_is_a_failure(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TRY_SECONDS", 0.1)
    async with receiver() as slow, sender(store) as sending:
        slow.open.clear()
        message_id = await ended(store, slow.url())
        await sending.send_due()
        delivery = await tried(store, message_id, 1)

    assert noted(delivery) == [(None, "No answer within 0.1 s.")]
    assert delivery.state is DeliveryState.PENDING


async def test_a_receiver_that_drips_its_answer_has_no_more_time_than_others(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TRY_SECONDS", 0.1)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server, sender(store) as sending:
        message_id = await ended(store, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await sending.send_due()
        delivery = await tried(store, message_id, 1)
        await until(lambda: len(asyncio.all_tasks()) == 1, "the connection is closed")

    assert noted(delivery) == [(None, "No answer within 0.1 s.")]


async def test_a_process_that_dies_after_it_sent_has_the_same_id_sent_again(
    store: SqliteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(taken: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        died.set()
        raise StoreUnavailable("away")

    died = asyncio.Event()
    async with receiver() as there, sender(store) as first, sender(store) as second:
        message_id = await ended(store, there.url())
        with monkeypatch.context() as patched:
            patched.setattr(store, "settle_delivery", away)
            await first.send_due()
            await asyncio.wait_for(died.wait(), 15)
        clock.advance(LEASE_SECONDS - 0.001)
        assert await second.send_due() == 0
        clock.advance(0.001)
        assert await second.send_due() == 1
        delivery = await tried(store, message_id, 1)

    one, other = there.requests
    assert one.headers["webhook-id"] == other.headers["webhook-id"] == delivery.id
    assert one.body == other.body
    assert delivery.state is DeliveryState.DELIVERED


async def test_a_process_that_stops_lets_tries_end(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "STOP_SECONDS", DEADLINE_SECONDS)
    async with receiver() as there, sender(store) as sending:
        there.open.clear()
        message_id = await ended(store, there.url())
        sending.start()
        await until(lambda: there.requests, "it was asked")
        stopping = asyncio.create_task(sending.stop())
        await asyncio.sleep(0)
        there.open.set()
        await stopping
        await sending.stop()

        assert (await delivery_of(store, message_id)).state is DeliveryState.DELIVERED


async def test_a_try_that_is_cut_by_a_stop_is_made_again(
    store: SqliteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "STOP_SECONDS", 0)
    async with receiver() as there, sender(store) as sending, sender(store) as next_one:
        there.open.clear()
        message_id = await ended(store, there.url())
        sending.start()
        await until(lambda: there.requests, "it was asked")
        await sending.stop()
        assert (await delivery_of(store, message_id)).attempts == ()

        there.open.set()
        clock.advance(LEASE_SECONDS)
        assert await next_one.send_due() == 1
        assert (await tried(store, message_id, 1)).state is DeliveryState.DELIVERED


async def test_two_processes_do_not_send_the_same(store: SqliteStore) -> None:
    async with receiver() as there, sender(store) as first, sender(store) as second:
        messages = [await ended(store, there.url()) for _ in range(20)]
        assert sum(await asyncio.gather(first.send_due(), second.send_due())) == 20
        for message_id in messages:
            await tried(store, message_id, 1)

    assert len(there.requests) == 20


async def test_no_more_are_sent_at_a_time_than_there_is_room_for(store: SqliteStore) -> None:
    async with receiver() as there, sender(store) as sending:
        there.open.clear()
        messages = [await ended(store, there.url()) for _ in range(PARALLEL + 3)]
        assert await sending.send_due() == PARALLEL
        await until(lambda: len(there.requests) == PARALLEL, "as many as there is room for were sent")
        assert await sending.send_due() == 0
        sending.start()
        there.open.set()
        for message_id in messages:
            await tried(store, message_id, 1)


async def test_the_address_is_looked_up_and_checked_at_each_try(store: SqliteStore, clock: ManualClock) -> None:
    answers: list[Sequence[str]] = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with receiver(answers=[answer(500)]) as there, sender(store, resolve=resolve) as sending:
        message_id = await ended(store, there.url(host="receiver.example"))
        await sending.send_due()
        await tried(store, message_id, 1)
        clock.advance(5)
        await sending.send_due()
        delivery = await tried(store, message_id, 2)

    assert len(there.requests) == 1
    assert noted(delivery) == [
        (500, "The receiver answered 500."),
        (None, "webhook_url: the host is not public."),
    ]
    assert delivery.state is DeliveryState.PENDING


async def test_a_receiver_that_is_not_there_is_tried_again(store: SqliteStore) -> None:
    async with receiver() as there:
        url = there.url()
    async with sender(store) as sending:
        message_id = await ended(store, url)
        await sending.send_due()
        delivery = await tried(store, message_id, 1)

    assert noted(delivery) == [(None, "The connection failed.")]
    assert delivery.state is DeliveryState.PENDING


async def test_a_mistake_of_our_own_is_noted_like_any_other_failure(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> int:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(webhooks, "post", broken)
    async with sender(store) as sending:
        message_id = await ended(store, "http://127.0.0.1/")
        await sending.send_due()
        delivery = await tried(store, message_id, 1)

    assert noted(delivery) == [
        (None, "The server that sends the webhook had an unexpected error; its log has the details.")
    ]
    assert delivery.state is DeliveryState.PENDING
    assert "a mistake" in caplog.text


async def test_a_delivery_that_was_given_up_can_be_replayed(store: SqliteStore) -> None:
    async with receiver(answers=[answer(410), answer(500)]) as there, sender(store) as sending:
        message_id = await ended(store, there.url())
        await sending.send_due()
        given_up = await tried(store, message_id, 1)
        await store.replay_delivery(TENANT, given_up.id)
        await sending.send_due()
        again = await tried(store, message_id, 2)

    assert [got.headers["webhook-id"] for got in there.requests] == [given_up.id, given_up.id]
    assert (again.state, again.tries) == (DeliveryState.PENDING, 1)
    assert noted(again) == [(410, "The receiver answered 410."), (500, "The receiver answered 500.")]


async def test_without_a_secret_nothing_is_sent(store: SqliteStore) -> None:
    async with receiver() as there, sender(store, None) as without, sender(store) as sending:
        message_id = await ended(store, there.url())
        without.start()
        assert not without.enabled
        assert sending.enabled
        sending.start()
        await tried(store, message_id, 1)
        await without.stop()

    assert len(there.requests) == 1


async def test_a_store_that_is_away_for_a_moment_ends_nothing(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim = store.claim_deliveries
    broken: list[Exception] = [StoreUnavailable("away"), RuntimeError("a mistake")]

    async def sometimes(limit: int, *, lease_seconds: float) -> list[Delivery]:
        if broken:
            raise broken.pop(0)
        return await claim(limit, lease_seconds=lease_seconds)

    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(store, "claim_deliveries", sometimes)
    async with receiver() as there, sender(store) as sending:
        message_id = await ended(store, there.url())
        sending.start()
        await tried(store, message_id, 1)

    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.levelname != "INFO"]
    again = "Webhook deliveries could not be claimed, trying again"
    assert told[:2] == [("WARNING", f"{again}: error=away"), ("ERROR", again)]
    assert [message.partition(":")[0] for _, message in told[2:]] == ["It works again"]


async def test_neither_urls_nor_secrets_nor_answers_are_logged(
    store: SqliteStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [answer(500, body=b"canary-answer"), answer(410, body=b"canary-answer")]
    async with receiver(answers=answers) as there, sender(store) as sending:
        for path in ("/canary-path?key=canary-query", "/canary-path"):
            message_id = await ended(store, there.url(path))
            await sending.send_due()
            delivery = await tried(store, message_id, 1)
            assert "canary" not in str(noted(delivery))
        await ended(store, there.url("/canary-path"))
        await sending.send_due()
        await until(lambda: "Webhook delivered" in caplog.text, "the delivery is logged")

    secrets = [SECRET.removeprefix("whsec_"), *(got.headers["webhook-signature"] for got in there.requests)]
    assert "host=127.0.0.1" in caplog.text
    assert not [secret for secret in ["canary", *secrets] if secret in caplog.text]
    assert SECRET.removeprefix("whsec_") not in repr(settings_for(Path(), webhook_secret=SECRET))


def test_the_secrets_are_replaced_in_whatever_is_logged() -> None:
    redactor = redactor_of(settings_for(Path(), webhook_secret=f"{SECRET} {NEXT_SECRET}"))

    assert redactor.redact(f"one {SECRET}, another {NEXT_SECRET}") == "one ***, another ***"
