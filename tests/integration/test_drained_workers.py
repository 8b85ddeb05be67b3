"""A worker is drained and resumed over HTTP, in this process and in another one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, ServerProcess, server_process, until

STEPS = "steps=tests.graphs:steps"


async def ask(server: ServerProcess, path: str, body: dict[str, Any] | None = None) -> Any:
    """The reply to a GET, or to a POST with a body."""
    sent = b"" if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    response = await wire.request(server.url, "GET" if body is None else "POST", path, headers=headers, body=sent)
    assert response.status < 300, response.body
    return response.json()


async def worker_of(server: LiveServer) -> dict[str, Any]:
    (worker,) = (await server.client.get("/workers")).json()["workers"]
    return dict(worker)


async def test_a_drained_worker_puts_its_run_back_after_its_step(serve: Serve, control: GraphControl) -> None:
    control.hold("first")
    server = await serve(agents=STEPS)
    message = await server.submit("Go", agent="steps")
    await until(lambda: control.waits("first"), "the message runs")
    worker = await worker_of(server)
    assert worker["state"] == "active"
    reply = await server.client.post(f"/workers/{worker['id']}/drain")
    assert (reply.status_code, reply.json()["id"], reply.json()["state"]) == (200, worker["id"], "draining")
    await until(lambda: server.runtime.worker.state() != "active", "the worker knows")
    control.release("first")

    async def drained() -> bool:
        return bool((await worker_of(server))["state"] == "drained")

    await until(drained, "the worker is drained")
    status = await server.status(message["message_id"])
    assert (status["state"], status["waiting_reason"]["code"]) == ("queued", "workers_drained")
    again = await server.client.post(f"/workers/{worker['id']}/drain")
    assert again.json()["state"] == "drained"
    late = await server.submit("Later", agent="steps")
    assert late["waiting_reason"] == {"code": "workers_drained", "message": "An operator has drained all workers."}
    assert (await server.client.get("/health/ready")).status_code == 200

    resumed = await server.client.post(f"/workers/{worker['id']}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (200, "active")
    for each in (message, late):
        assert (await server.ended(each["message_id"]))["state"] == "completed"
    details = (await server.client.get(f"/messages/{message['message_id']}")).json()
    assert (details["attempt"], details["attempts"]) == (1, [])
    records = (await server.client.get("/audit")).json()["records"]
    assert [(each["action"], each["targets"]) for each in records] == [
        ("worker.resume", [worker["id"]]), ("worker.drain", [worker["id"]]),
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["drain", "resume"])
async def test_a_worker_that_is_not_there_is_not_found(quiet: LiveServer, verb: str) -> None:
    reply = await quiet.client.post(f"/workers/host-1-nobody/{verb}")
    assert (reply.status_code, reply.json()["code"]) == (404, "worker_not_found")


async def test_a_worker_in_another_process_is_drained(tmp_path: Path, database: dict[str, str]) -> None:
    given = {**database, "AGENTS": "plain=tests.graphs:plain_state"}
    with (
        server_process(tmp_path, WORKER_CONCURRENCY="0", **given) as server,
        server_process(tmp_path, "app.worker", **given),
    ):
        await server.ready()

        async def listed() -> list[dict[str, Any]]:
            return list((await ask(server, "/workers"))["workers"])

        await until(listed, "the worker is listed")
        (worker,) = await listed()

        async def is_in(state: str) -> bool:
            return [each["state"] for each in await listed()] == [state]

        await ask(server, f"/workers/{worker['id']}/drain", {})
        await until(lambda: is_in("drained"), "the worker is drained")
        message = await ask(server, "/messages", {"message": "x"})
        assert message["waiting_reason"]["code"] == "workers_drained"
        await ask(server, f"/workers/{worker['id']}/resume", {})

        async def completed() -> bool:
            status = await ask(server, f"/messages/{message['message_id']}/status")
            return str(status["state"]) == "completed"

        await until(completed, "the message is completed")
