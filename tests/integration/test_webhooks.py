"""Webhooks from the request to the receiver, over real sockets, with a real agent between."""

import base64
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.webhooks import sender as webhooks
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.openai_stub import Answer, StubServer
from tests.receiver import answer, receiver
from tests.servers import LiveServer, until

SECRET = "whsec_" + base64.b64encode(b"the secret of these tests").decode()
ALLOWED: dict[str, Any] = {"webhook_secret": SECRET, "webhook_allow_private": True}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)


async def problem(server: LiveServer, path: str, body: dict[str, Any]) -> str:
    """Why the request is refused."""
    response = await server.client.post(path, json=body)
    assert response.status_code == 422, response.text
    [error] = response.json()["errors"]
    assert str(error["field"]).endswith("webhook_url")
    return str(response.json()["detail"])


async def deliveries(server: LiveServer, message_id: str) -> list[dict[str, Any]]:
    response = await server.client.get(f"/messages/{message_id}/deliveries")
    assert response.status_code == 200, response.text
    return list(response.json()["deliveries"])


async def test_the_answer_of_an_agent_comes_signed_to_the_url_of_its_message(serve: Serve, model: StubServer) -> None:
    model.replies.append(Answer("Paris."))
    server = await serve(**ALLOWED)
    async with receiver() as there:
        submitted = await server.submit("The capital of France?", thread_id="t", webhook_url=there.url())
        [got] = await until(lambda: there.requests, "the webhook comes")

    news = Webhook(SECRET).verify(got.body, got.headers)
    status = await server.status(submitted["message_id"])
    assert news["type"] == "message.completed"
    assert news["data"] == {
        "message_id": submitted["message_id"],
        "thread_id": "t",
        "state": "completed",
        "result": "Paris.",
        "completed_at": status["completed_at"],
    }


async def test_each_question_of_an_agent_comes_signed_and_its_answer_leads_to_the_next(
    serve: Serve, control: GraphControl
) -> None:
    server = await serve(agents="approving=tests.graphs:approving", **ALLOWED)
    async with receiver(answers=[answer(500)]) as there:
        events = ["interrupted", "completed"]
        submitted = await server.submit("Delete it", webhook_url=there.url(), webhook_events=events)
        path = f"/messages/{submitted['message_id']}"
        [got] = await until(lambda: there.requests, "the question comes")
        asked = Webhook(SECRET).verify(got.body, got.headers)
        status = await server.status(submitted["message_id"])
        assert asked["type"] == "message.interrupted"
        assert asked["data"] == {
            "message_id": submitted["message_id"],
            "thread_id": None,
            "state": "interrupted",
            "attempt": 1,
            "interrupts": status["interrupts"],
            "expires_at": status["interrupt_expires_at"],
        }
        [question] = asked["data"]["interrupts"]
        response = await server.client.post(f"{path}/resume", json={"values": {question["id"]: {"ok": True}}})
        assert response.status_code == 202, response.text
        done = await until(
            lambda: [each for each in there.requests if b"message.completed" in each.body], "the end comes"
        )
        assert Webhook(SECRET).verify(done[0].body, done[0].headers)["data"]["state"] == "completed"

    async def noted() -> list[dict[str, Any]] | None:
        found = await deliveries(server, submitted["message_id"])
        return found if found[-1]["attempts"] else None

    first, second = await until(noted, "the tries are noted")
    assert (first["event"], first["attempts"][0]["status"]) == ("interrupted", 500)
    assert (second["event"], second["state"]) == ("completed", "delivered")


async def test_a_slow_receiver_delays_no_run(serve: Serve, model: StubServer) -> None:
    server = await serve(**ALLOWED)
    async with receiver() as slow:
        slow.open.clear()
        first = await server.submit("One", webhook_url=slow.url())
        await until(lambda: slow.requests, "the receiver was asked")
        second = await server.submit("Two")
        assert (await server.ended(second["message_id"]))["state"] == "completed"
        [delivery] = await deliveries(server, first["message_id"])
        assert (delivery["state"], delivery["attempts"]) == ("pending", [])


async def test_a_delivery_is_listed_with_its_tries_and_can_be_replayed(serve: Serve) -> None:
    server = await serve(**ALLOWED)
    async with receiver(answers=[answer(410)]) as there:
        submitted = await server.submit(webhook_url=there.url())

        async def in_state(state: str) -> dict[str, Any]:
            async def look() -> dict[str, Any] | None:
                found = await deliveries(server, submitted["message_id"])
                return found[0] if found and found[0]["state"] == state else None

            return dict(await until(look, f"the delivery is {state}"))

        given_up = await in_state("failed")
        response = await server.client.post(f"/deliveries/{given_up['id']}/replay")
        assert response.status_code == 202, response.text
        delivered = await in_state("delivered")

    assert [attempt["status"] for attempt in delivered["attempts"]] == [410, 204]
    assert len({got.headers["webhook-id"] for got in there.requests}) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://receiver.example/", "only https"),
        ("https://127.0.0.1/", "not public"),
        ("https://[::ffff:169.254.169.254]/", "not public"),
        ("https://2130706433/", "the name of a host"),
        ("https://localhost/", "the host"),
        ("https://receiver.invalid/", "the host has no address"),
        ("nonsense", "only https"),
    ],
)
async def test_a_url_that_this_server_must_not_call_is_refused_and_nothing_stored(
    serve: Serve, url: str, why: str
) -> None:
    server = await serve(webhook_secret=SECRET, worker_concurrency=0)

    assert why in await problem(server, "/messages", {"message": "Hello", "webhook_url": url})
    batch = {"messages": [{"message": "One"}, {"message": "Two", "webhook_url": url}]}
    assert why in await problem(server, "/messages/batch", batch)
    assert (await server.client.get("/queue")).json()["total_queued"] == 0


async def test_without_a_secret_a_url_is_refused_with_what_to_do(serve: Serve) -> None:
    server = await serve(webhook_allow_private=True, worker_concurrency=0)

    detail = await problem(server, "/messages", {"message": "Hello", "webhook_url": "http://127.0.0.1/"})

    assert "WEBHOOK_SECRET" in detail


async def test_a_process_without_workers_sends_too_and_a_cancel_is_told(serve: Serve) -> None:
    server = await serve(**ALLOWED, worker_concurrency=0)
    async with receiver() as there:
        submitted = await server.submit(webhook_url=there.url())
        await server.client.delete(f"/messages/{submitted['message_id']}")
        [got] = await until(lambda: there.requests, "the webhook comes")

    assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "message.cancelled"
