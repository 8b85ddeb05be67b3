"""New input for a thread that waits for a human starts a new turn, and the open question is gone."""

import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until


async def waits(server: LiveServer, message_id: str) -> None:
    """Wait until the message asks a human."""

    async def is_interrupted() -> bool:
        return bool((await server.status(message_id))["state"] == "interrupted")

    await until(is_interrupted, "it asks")


@pytest.mark.parametrize("if_busy", ["reject", "interrupt", "rollback"])
async def test_new_input_takes_the_place_of_an_open_question(serve: Serve, control: GraphControl, if_busy: str) -> None:
    server = await serve(agents="asking=tests.graphs:approving", max_attempts=1)
    first = (await server.submit("Drop it?", thread_id="t"))["message_id"]
    await waits(server, first)
    second = (await server.submit("Keep it?", thread_id="t", if_busy=if_busy))["message_id"]
    await waits(server, second)
    assert (await server.status(first))["state"] == "cancelled"
    late = await server.client.post(f"/messages/{first}/resume", json={"value": "yes"})
    assert (late.status_code, late.json()["code"]) == (409, "not_interrupted")

    (question,) = (await server.status(second))["interrupts"]
    answer = {"values": {question["id"]: "no"}}
    assert (await server.client.post(f"/messages/{second}/resume", json=answer)).status_code == 202
    status = await server.ended(second)
    assert status["state"] == "completed"
    assert "Keep it?" in status["result"]
    third = (await server.submit("And now?", thread_id="t"))["message_id"]
    await waits(server, third)
