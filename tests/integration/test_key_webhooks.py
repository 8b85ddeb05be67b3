"""Webhooks of API keys: whose URL is called, which secret signs, and that nobody sees the secret."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from websockets.asyncio.client import connect

from app.webhooks import sender as webhooks
from tests import wire
from tests.integration.conftest import Serve
from tests.integration.test_key_api import ask
from tests.integration.test_keys import agentq, bearer, database, issue
from tests.integration.test_webhooks import ALLOWED, SECRET
from tests.receiver import receiver
from tests.servers import until

__all__ = ["database"]
OF_KEY = "whsec_" + base64.b64encode(b"the secret of one key alone").decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)


async def test_a_key_brings_its_webhook_and_its_secret(serve: Serve, database: str) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True, **ALLOWED)
    admin = await issue(server)
    async with receiver() as ours, receiver() as given:
        wanted = {"webhook_url": ours.url(), "webhook_secret": OF_KEY}
        made = await ask(server, "POST", "/keys", admin, wanted)
        assert made.status == 201, made.body
        assert (made.json()["webhook_url"], made.json()["signs_webhooks"]) == (ours.url(), True)
        key = made.json()["key"]
        async with connect(server.url.replace("http", "ws") + "/ws", additional_headers=bearer(key)) as socket:
            await socket.send(json.dumps({"type": "submit", "message": "Hello", "request_id": "1"}))
            submitted = [json.loads(await socket.recv())["message_id"]]
        bodies: list[dict[str, Any]] = [{"message": "Hello"}, {"message": "Hello", "webhook_url": given.url()}]
        submitted += [(await ask(server, "POST", "/messages", key, body)).json()["message_id"] for body in bodies]
        batch = await ask(server, "POST", "/messages/batch", key, {"messages": bodies[:1]})
        submitted.append(batch.json()["messages"][0]["message_id"])
        theirs = await ask(server, "POST", "/messages", admin, bodies[1])
        for message_id in (*submitted, theirs.json()["message_id"]):
            assert (await ask(server, "POST", f"/messages/{message_id}/cancel", admin)).status == 200
        await until(lambda: len(ours.requests) == 3 and len(given.requests) == 2, "the webhooks come")

    for got in ours.requests:
        assert Webhook(OF_KEY).verify(got.body, got.headers)["data"]["message_id"] in submitted
    for got in given.requests:
        secret = OF_KEY if submitted[2] in got.body.decode() else SECRET
        assert Webhook(secret).verify(got.body, got.headers)
    for path in ("/keys", f"/keys/{made.json()['id']}", f"/messages/{submitted[1]}", "/deliveries"):
        shown = await ask(server, "GET", path, admin)
        assert shown.status == 200
        assert OF_KEY not in shown.body.decode()


async def test_a_repeated_submit_is_the_same_when_the_webhook_is_the_keys(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, **ALLOWED)
    admin = await issue(server)
    made = await ask(server, "POST", "/keys", admin, {"webhook_url": "http://127.0.0.1:1/hook"})
    replies = [
        await ask(server, "POST", "/messages", key, {"message": "Hello"}, Idempotency_Key="1")
        for key in (made.json()["key"], admin)
    ]
    assert replies[0].json() == replies[1].json()


async def test_a_webhook_that_cannot_be_used_is_refused(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, webhook_secret=SECRET)
    for body, field in (
        ({"webhook_url": "http://127.0.0.1/hook"}, "webhook_url"),
        ({"webhook_url": "https://example.com/x", "webhook_secret": "whsec_short"}, "webhook_secret"),
        ({"webhook_secret": "secret of mine"}, "webhook_secret"),
    ):
        response = await server.client.post("/keys", json=body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field), response.text
        assert "short" not in response.text
        assert "of mine" not in response.text
    assert (await server.client.get("/keys")).json() == {"keys": []}


async def test_a_server_without_a_secret_refuses_webhooks_of_keys(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    refused = await server.client.post("/keys", json={"webhook_url": "https://example.com/hook"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "webhook_url")
    key = await issue(server, webhook_url="https://example.com/hook")
    response = await ask(server, "POST", "/messages", key, {"message": "Hello"})
    assert response.status == 422
    assert "WEBHOOK_SECRET" in response.json()["detail"]


async def test_the_command_line_gives_a_key_its_webhook(serve: Serve, database: str, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0, database_url=database, allow_volatile=True, **ALLOWED)
    async with receiver() as there:
        made = await asyncio.to_thread(
            agentq, tmp_path, "create", "--json", "--webhook-url", there.url(), "--webhook-secret", OF_KEY,
            database=database, WEBHOOK_ALLOW_PRIVATE="true",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        shown = json.loads(made.stdout)
        assert (shown["webhook_url"], shown["signs_webhooks"]) == (there.url(), True)
        assert OF_KEY not in made.stdout + made.stderr
        headers = {"Content-Type": "application/json", **bearer(shown["key"])}
        submitted = await wire.request(server.url, "POST", "/messages", headers=headers, body=b'{"message": "Hello"}')
        await ask(server, "DELETE", f"/messages/{submitted.json()['message_id']}", shown["key"])
        [got] = await until(lambda: there.requests, "the webhook comes")
    assert Webhook(OF_KEY).verify(got.body, got.headers)


@pytest.mark.parametrize("arguments", [["--webhook-secret", "mine"], ["--webhook-url", "http://127.0.0.1/hook"]])
def test_the_command_line_refuses_a_webhook_that_cannot_be_used(tmp_path: Path, arguments: list[str]) -> None:
    ended = agentq(tmp_path, "create", *arguments, database=f"sqlite:///{tmp_path}/queue.db")
    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert "webhook" in ended.stderr
