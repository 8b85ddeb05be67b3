"""No body and no frame has more values, or more levels, than a process takes at once."""

import json
from collections.abc import Iterator

import pytest

from app.api.json_limits import MAX_JSON_VALUES
from app.text import MAX_JSON_DEPTH
from tests import wire
from tests.documents import openapi
from tests.integration.test_api import check_problem
from tests.servers import LiveServer
from tests.talk import talk

FLAT = b"[" + b"1," * MAX_JSON_VALUES + b"1]"
DEEP = b"[" * 50_000
HOSTILE = {
    "too many values": FLAT,
    "too many values of a field": b'{"message":' + FLAT + b"}",
    "too many unknown fields": b'{"a":1' + b',"a":1' * MAX_JSON_VALUES + b"}",
    "too many values behind a text": b'{"message": "' + b"," * 1000 + b'", "namespace":' + FLAT + b"}",
    "too deep": DEEP,
    "too deep objects": b'{"a":' * 50_000,
    "a field too deep": b'{"input":' + DEEP,
}


def bodies() -> Iterator[tuple[str, str]]:
    """Each method and path that takes a body."""
    for path, methods in json.loads(openapi())["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                yield method.upper(), path.replace("{message_id}", "x").replace("{thread_id}", "t")


@pytest.mark.parametrize("what", HOSTILE)
async def test_every_route_refuses_what_is_too_much(quiet: LiveServer, what: str) -> None:
    walked = 0
    for method, path in bodies():
        response = await wire.request(
            quiet.url, method, path, headers={"Content-Type": "application/json"}, body=HOSTILE[what]
        )
        problem = check_problem(response, 422, "validation_error")
        assert problem["errors"][0]["field"] == "body", (method, path)
        if "too many" in what:
            assert str(MAX_JSON_VALUES) in problem["detail"]
        walked += 1
    assert walked > 12


@pytest.mark.parametrize("path", ["/a2a/chat", "/mcp"])
async def test_so_do_calls_of_surfaces_that_read_their_bodies_themselves(quiet: LiveServer, path: str) -> None:
    for body in (FLAT, HOSTILE["too many unknown fields"]):
        response = await wire.request(quiet.url, "POST", path, headers={"Content-Type": "application/json"}, body=body)
        assert response.status == 400, path
        assert str(MAX_JSON_VALUES) in response.json()["error"]["message"]


@pytest.mark.parametrize("what", HOSTILE)
async def test_so_does_a_websocket(quiet: LiveServer, what: str) -> None:
    async with talk(quiet.url) as client:
        await client.connection.send(HOSTILE[what].decode())
        answer = await client.next()
        assert (answer["type"], answer["problem"]["code"]) == ("error", "validation_error")
        assert (str(MAX_JSON_VALUES) in answer["problem"]["detail"]) == ("too many" in what)
        assert (await client.ask("ping"))["type"] == "pong"


async def test_a_text_may_have_as_many_commas_as_fit(quiet: LiveServer) -> None:
    message = "a," * (2 * MAX_JSON_VALUES)
    assert (await quiet.submit(message))["state"] == "queued"
    async with talk(quiet.url) as client:
        assert await client.submit(message, subscribe=False)


async def test_a_value_may_be_as_deep_as_the_stores_can_hold(quiet: LiveServer) -> None:
    for depth, status in ((MAX_JSON_DEPTH - 1, 200), (MAX_JSON_DEPTH, 422)):
        body = b'{"namespace": ["a"], "key": "k", "value": {"v": ' + b"[" * depth + b"]" * depth + b"}}"
        response = await wire.request(
            quiet.url, "PUT", "/store/items", headers={"Content-Type": "application/json"}, body=body
        )
        assert response.status in (status, 204 if status == 200 else status), response


async def test_of_many_wrong_labels_the_first_is_told(quiet: LiveServer) -> None:
    body = json.dumps({"namespace": [1] * 1000, "key": "k", "value": {}})
    response = await wire.request(
        quiet.url, "PUT", "/store/items", headers={"Content-Type": "application/json"}, body=body.encode()
    )
    assert [each["field"] for each in check_problem(response, 422, "validation_error")["errors"]] == ["namespace.0"]
