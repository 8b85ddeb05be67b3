"""An alias works wherever a path or a frame has the id of a message."""

from typing import Any

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, until
from tests.talk import talk


@pytest.fixture
async def server(serve: Serve, control: GraphControl) -> LiveServer:
    return await serve(agents="asking=tests.graphs:asking,failing=tests.graphs:failing", max_attempts=1)


async def submit(server: LiveServer, **body: Any) -> str:
    response = await server.client.post("/messages", json={"message": "Hello", **body})
    assert response.status_code == 202, response.text
    return str(response.json()["message_id"])


async def asks(server: LiveServer, message_id: str) -> None:
    """Wait until the message asks a human."""

    async def is_interrupted() -> bool:
        return bool((await server.status(message_id))["state"] == "interrupted")

    await until(is_interrupted, "it asks")


async def test_an_answer_is_a_run_of_its_own_under_its_alias(server: LiveServer) -> None:
    message_id = await submit(server, aliases=["run-1"])
    await asks(server, message_id)
    answer = {"value": "yes", "alias": "run-2"}
    resumed = await server.client.post("/messages/run-1/resume", json=answer)
    assert (resumed.status_code, resumed.json()["message_id"]) == (202, message_id)
    await server.ended(message_id)
    for path in ("", "/status"):
        assert (await server.client.get(f"/messages/run-2{path}")).json()["message_id"] == message_id
    assert (await server.client.get(f"/messages/{message_id}")).json()["aliases"] == ["run-1", "run-2"]

    whole, rest = [await wire.frames_of(server.url, name) for name in ("run-1", "run-2")]
    assert [frame.event for frame in rest] == ["resumed", "processing", "chunk", "done"]
    assert [frame.id for frame in whole if frame.id][-len(rest) :] == [frame.id for frame in rest]
    assert whole[0].id == 1
    events = (await server.client.get("/messages/run-2/events")).json()
    assert (events["message_id"], [each["id"] for each in events["events"]]) == (
        message_id,
        [frame.id for frame in rest],
    )


async def test_operators_may_use_an_alias(server: LiveServer) -> None:
    failed = await submit(server, agent="failing", aliases=["broken"])
    await server.ended(failed)
    assert (await server.client.post("/messages/broken/retry")).json()["message_id"] == failed
    asking = await submit(server, aliases=["asks"])
    await asks(server, asking)
    cancelled = await server.client.post("/messages/asks/cancel")
    assert (cancelled.status_code, cancelled.json()["message_id"]) == (200, asking)


async def test_an_alias_of_another_message_is_refused(server: LiveServer) -> None:
    message_id = await submit(server, aliases=["mine"])
    for alias in ("mine", message_id):
        refused = await server.client.post("/messages", json={"message": "Hello", "aliases": [alias]})
        assert (refused.status_code, refused.json()["code"]) == (409, "alias_taken")
    unknown = await server.client.get("/messages/nobody/status")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "message_not_found")


async def test_frames_may_name_a_message_by_an_alias(server: LiveServer) -> None:
    message_id = await submit(server, aliases=["run-1"])
    await asks(server, message_id)
    async with talk(server.url) as client:
        subscribed = await client.ask("subscribe", message_id="run-1")
        assert (subscribed["type"], subscribed["message_id"], subscribed["after"]) == ("subscribed", message_id, 0)
        twice = await client.ask("subscribe", message_id=message_id)
        assert (twice["type"], twice["problem"]["status"]) == ("error", 409)
        assert (await client.ask("unsubscribe", message_id="run-1"))["message_id"] == message_id
        resumed = await client.ask("resume", message_id="run-1", value="yes", alias="run-2")
        assert (resumed["type"], resumed["message_id"]) == ("resumed", message_id)
        await server.ended(message_id)
        assert (await client.ask("subscribe", message_id="run-2"))["type"] == "subscribed"
        await client.until("ended", message_id=message_id)
        events = [frame["event"] for frame in client.frames if frame.get("type") == "event" and frame["id"]]
        assert events[-4:] == ["resumed", "processing", "chunk", "done"]
