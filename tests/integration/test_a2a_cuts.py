"""Replies of A2A that end before their task: the server stops, a key is revoked, or the store fails."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.errors import StoreUnavailable
from tests import wire
from tests.a2a_clients import call, result
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_a2a_requests import message
from tests.integration.test_keys import bearer, issue, manager
from tests.servers import LiveServer, until

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving"
PART = {"kind": "text", "text": "Hi"}
OLD = {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": [PART]}}
SENT = {"message": message()["message"]}
METHODS = [
    ("SendMessage", SENT, "SubscribeToTask"),
    ("SendStreamingMessage", SENT, "SubscribeToTask"),
    ("message/send", OLD, "tasks/resubscribe"),
    ("message/stream", OLD, "tasks/resubscribe"),
]
END = Callable[[LiveServer], Awaitable[None]]


def last_error(reply: wire.RawResponse) -> dict[str, Any]:
    """The error with which a reply ends, alone or as the last item of a stream."""
    assert reply.status == 200, reply
    told = json.loads(reply.body.decode().rpartition("data: ")[2])
    assert told.keys() == {"jsonrpc", "id", "error"}, told
    return dict(told["error"])


async def cut_off(
    server: LiveServer, end: Callable[[], Awaitable[None]], method: str, params: dict[str, Any], **headers: str
) -> tuple[dict[str, Any], str]:
    """The error of a call that is cut off by `end`, and the id of its task."""
    calling = asyncio.create_task(call(server, method, params, **headers))
    await until(lambda: len(server.runtime.streams._places) == 1, "it waits")
    (stored,) = (await server.client.get("/messages", headers=headers)).json()["messages"]
    await end()
    return last_error(await calling), stored["message_id"]


def check_no_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(("method", "params", "follow"), METHODS)
async def test_a_stop_of_the_server_is_an_error_that_names_the_task(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, params: dict[str, Any], follow: str
) -> None:
    """Sending the message again would make a second task."""
    server = await serve(worker_concurrency=0, agents=AGENTS)

    async def stop() -> None:
        server.runtime.streams.close()

    error, task_id = await cut_off(server, stop, method, params)
    (about,) = error["data"]
    assert (error["code"], about["reason"]) == (-32603, "SERVER_STOPPING")
    assert about["metadata"] == {"code": "server_stopping", "taskId": task_id}
    assert (task_id in error["message"], follow in error["message"], "again" in error["message"]) == (True, True, False)
    check_no_error_is_logged(caplog)


@pytest.mark.parametrize(("method", "params", "follow"), METHODS)
async def test_a_revoked_key_is_an_error_that_names_the_task(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, params: dict[str, Any], follow: str
) -> None:
    server = await serve(worker_concurrency=0, agents=AGENTS)
    key, _ = await issue(server), await issue(server)

    async def revoke() -> None:
        await manager(server).revoke(None, key.key.id)

    authorization = bearer(key)["Authorization"]
    error, task_id = await cut_off(server, revoke, method, params, Authorization=authorization)
    (about,) = error["data"]
    assert (error["code"], about["reason"]) == (-32603, "AUTHENTICATION_REQUIRED")
    assert about["metadata"] == {"code": "authentication_required", "taskId": task_id}
    assert (task_id in error["message"], "Your access ended" in error["message"]) == (True, True)
    check_no_error_is_logged(caplog)


async def test_a_cancel_that_is_cut_off_names_its_task(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("first")
    task_id = (await result(server, "SendMessage", message()))["task"]["id"]
    await until(lambda: control.waits("first"), "the agent runs")
    held = asyncio.create_task(call(server, "SubscribeToTask", {"id": task_id}))
    await until(lambda: len(server.runtime.streams._places) == 1, "it reads")
    server.runtime.streams.close()
    assert last_error(await held)["data"][0]["metadata"]["taskId"] == task_id
    control.release("first")


async def test_a_store_that_fails_is_an_error_that_names_the_task(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of the database and its own words are for the log alone."""
    server = await serve(worker_concurrency=0, agents=AGENTS)

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no route to 10.0.0.1")

    async def fail() -> None:
        task_id = (await server.client.get("/messages")).json()["messages"][0]["message_id"]
        monkeypatch.setattr(server.runtime.services.queue, "get", away)
        assert (await server.client.post(f"/messages/{task_id}/cancel")).status_code == 200

    error, task_id = await cut_off(server, fail, "SendMessage", SENT)
    assert error["data"][0]["metadata"] == {"code": "store_unavailable", "taskId": task_id}
    assert "10.0.0.1" not in error["message"]
