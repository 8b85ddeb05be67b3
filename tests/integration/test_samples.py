"""Replies that pages show are what the server answers, but for ids and times."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from app.models.attempts import Completed, Interrupted
from app.store.ports import Store
from app.webhooks import sender as webhooks
from tests import wire
from tests.contract.builders import claim, worker
from tests.documents import REFERENCE
from tests.integration.conftest import Serve
from tests.integration.states import SECRET, end
from tests.integration.test_websocket_document import run
from tests.openai_stub import Gate, Status, StubServer
from tests.pages import DOCS, README, name_of, named
from tests.receiver import receiver
from tests.servers import LiveServer, until

TOUR = DOCS / "tutorial" / "tour.md"
CONTROL = DOCS / "how-to" / "control-messages.md"
QUESTION = b'{"message": "What is the capital of France?"}'
VOLATILE = (
    re.compile(r"(lc_run--)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
)
"""Ids and times: another one of the same form does as well. So does any text for `...`."""


def like(shown: Any, came: Any) -> bool:
    """Return whether a value is as the document shows it, with the same fields in the same order."""
    match shown:
        case dict():
            return list(shown) == list(came) and all(like(value, came[name]) for name, value in shown.items())
        case list():
            return len(shown) == len(came) and all(map(like, shown, came))
        case "...":
            return isinstance(came, str)
        case str():
            for form in VOLATILE:
                if form.fullmatch(shown):
                    return bool(form.fullmatch(came))
    return bool(shown == came)


def fields(block: str) -> list[tuple[str, str]]:
    """Return names and values of the lines of a server-sent event."""
    return [(name, value.removeprefix(" ")) for name, _, value in (line.partition(":") for line in block.splitlines())]


def check_events(shown: str, came: list[wire.Frame]) -> None:
    """Compare each block that is shown with the next event of its type that came."""
    left = iter(came)
    for block in shown.strip().split("\n\n"):
        lines = dict(fields(block))
        if "event" not in lines:
            assert block == "..." or re.fullmatch(r"retry: \d+", block)
            continue
        frame = next((each for each in left if each.event == lines["event"]), None)
        assert frame is not None, f"shown: {block}\ncame: {came}"
        assert [name for name, _ in fields(block) if name != "retry"] == [
            name for name, _ in fields(frame.raw.decode())
        ]
        assert like(json.loads(lines["data"]), frame.data), f"shown: {block}\ncame: {frame.raw.decode()}"


@pytest.fixture
async def waiting(serve: Serve) -> LiveServer:
    """A server that knows of a worker, which claims nothing."""
    server = await serve(worker_concurrency=0)
    store: Store = server.runtime.services.store
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker(), [], lease_seconds=60)
    return server


async def submit(server: LiveServer) -> wire.RawResponse:
    return await wire.request(
        server.url, "POST", "/messages", headers={"Content-Type": "application/json"}, body=QUESTION
    )


async def test_a_submit_is_answered_as_the_tour_shows(waiting: LiveServer) -> None:
    head, _, body = named(TOUR, "sample: submit").partition("\n\n")
    status, *headers = head.splitlines()
    came = await submit(waiting)
    assert status == f"HTTP/1.1 {came.status} Accepted"
    for name, _, value in (header.partition(": ") for header in headers):
        shown, told = value.split("/"), came.headers[name].split("/")
        assert all(map(like, shown, told)), (value, came.headers[name])
    assert like(json.loads(body), came.json()), came.body.decode()


@pytest.mark.parametrize("page", [README, TOUR], ids=name_of)
async def test_a_stream_is_as_the_page_shows(waiting: LiveServer, serve: Serve, model: StubServer, page: Path) -> None:
    answer = Gate("The capital of France is Paris.")
    model.replies.append(answer)
    message_id = (await submit(waiting)).json()["message_id"]
    async with wire.stream(waiting.url, message_id) as stream:
        await stream.until("waiting")
        await serve(worker_concurrency=1)  # on the same queue
        for _ in range(2):  # one piece at a time: pieces that wait together are written as one
            answer.release()
            await stream.until("chunk")
        answer.release_all()
        await stream.rest()
    check_events(named(page, "sample: stream"), stream.frames)
    assert stream.retries


async def test_a_lost_worker_is_told_as_the_tour_shows(waiting: LiveServer, serve: Serve) -> None:
    store: Store = waiting.runtime.services.store
    message_id = (await submit(waiting)).json()["message_id"]
    await claim(store, lease_seconds=0)
    assert await store.rescue() == 1
    await claim(store)
    await waiting.client.post(f"/messages/{message_id}/cancel")
    async with wire.stream(waiting.url, message_id) as stream:
        await stream.until("retry")
        await stream.until("processing")
    check_events(named(TOUR, "sample: retry"), stream.frames)


@pytest.mark.parametrize(
    ("mark", "outcome"),
    [
        ("sample: end", Completed("The answer.")),
        ("sample: question", Interrupted('[{"id": "6c53", "value": {"question": "May I?"}}]', 3600.0)),
    ],
)
async def test_a_webhook_is_told_as_the_guide_shows(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, mark: str, outcome: Completed | Interrupted
) -> None:
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)
    server = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    async with receiver() as there:
        events = ["completed", "interrupted"]
        submitted = await server.submit(webhook_url=there.url(), webhook_events=events)
        await end(server, submitted["message_id"], outcome)
        [got] = await until(lambda: there.requests, "the webhook comes")
    assert like(json.loads(named(CONTROL, mark)), json.loads(got.body)), got.body.decode()


async def test_a_problem_is_as_the_page_shows(waiting: LiveServer) -> None:
    came = await wire.request(waiting.url, "GET", "/messages/x")
    shown = json.loads(named(REFERENCE / "errors.md", "sample: problem"))
    assert shown["code"] == "message_not_found"
    assert like(shown, came.json()), came.body.decode()


async def test_the_example_for_browsers_tells_a_failure(server: LiveServer, model: StubServer, tmp_path: Path) -> None:
    """In Node, whose EventSource is that of browsers."""
    model.replies.append(Status(401))
    message_id = (await submit(server)).json()["message_id"]
    node = shutil.which("node")
    assert node is not None, "Node.js has to be installed for this test"
    script = tmp_path / "page.mjs"
    script.write_text(
        f"const id = {json.dumps(message_id)};\n"
        "const show = (error) => console.log(error);\n"
        + named(REFERENCE / "events.md", "file: watch.js").replace("`/messages", f"`{server.url}/messages")
    )
    printed = await run(node, "--no-warnings", "--experimental-eventsource", str(script))
    assert printed.strip() == (await server.status(message_id))["error"]


@cache
def description() -> dict[str, Any]:
    """Return the committed description, since to make it while tests are collected costs each process a second."""
    return dict(json.loads((REFERENCE / "openapi.json").read_text("utf-8")))


def described() -> dict[str, Any]:
    return dict(description()["components"]["schemas"])


def lacking(example: Any, schema: dict[str, Any], schemas: dict[str, Any], place: str) -> list[str]:
    """Return the fields of replies that an example does not have, also within lists and fields."""
    match example, schema:
        case _, {"$ref": str(reference)}:
            return lacking(example, schemas[reference.rpartition("/")[2]], schemas, place)
        case list(), {"items": items}:
            return [lack for each in example for lack in lacking(each, items, schemas, f"{place}[]")]
        case dict(), {"properties": properties}:
            found = [f"{place}.{name}" for name in properties.keys() - example.keys()]
            for name, value in example.items():
                found += lacking(value, properties[name], schemas, f"{place}.{name}")
            return found
        case dict() | list(), {"anyOf": [first, {"type": "null"}]}:
            return lacking(example, first, schemas, place)
    return []


CHUNKS = {"content": "TextChunk"}
"""The schemas of the chunks in the example of a stream."""


def test_the_example_of_a_stream_is_whole() -> None:
    schemas = described()
    operation = description()["paths"]["/messages/{message_id}/stream"]["get"]
    blocks = operation["responses"]["200"]["content"]["text/event-stream"]["example"].strip().split("\n\n")
    for lines in (dict(fields(block)) for block in blocks):
        data = json.loads(lines["data"])
        name = CHUNKS[data["type"]] if lines["event"] == "chunk" else "WaitingData"
        assert lacking(data, schemas[name], schemas, name) == []


def test_the_examples_of_the_description_are_whole() -> None:
    """Each example fits its schema. A reply's example has every field, since a reply omits none."""
    schemas = described()
    assert any("examples" in schema for schema in schemas.values())
    for name, schema in schemas.items():
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})
        is_body = schema.get("additionalProperties") is False
        for example in schema.get("examples", []):
            validator.validate(example)
            assert example.keys() <= schema["properties"].keys(), name
            if not is_body and name != "Problem":
                assert lacking(example, schema, schemas, name) == []
