"""Replies that README and guides show are what the server answers, but for ids, times and the pieces of an answer."""

import json
import re
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from app import webhooks
from app.models import Completed, Interrupted
from app.store.base import Store
from tests import wire
from tests.contract.builders import claim, worker
from tests.documents import DOCS, openapi
from tests.integration.conftest import Serve
from tests.integration.states import SECRET, end
from tests.openai_stub import Answer, StubServer
from tests.receiver import receiver
from tests.servers import LiveServer, until

README = (DOCS.parent / "README.md").read_text("utf-8")
CONTROL = (DOCS / "CONTROL.md").read_text("utf-8")
QUESTION = b'{"message": "What is the capital of France?"}'
VOLATILE = (
    re.compile(r"(lc_run--)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
)
"""Ids and times: another one of the same form does as well. So does any text for `...`."""

PIECES = frozenset({"chunk"})
"""How an answer is cut into pieces depends on the disk."""


def sample(document: str, name: str) -> str:
    """Return the block behind a comment of the document."""
    found = re.search(rf"^<!-- sample: {name} -->\n```\w+\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def like(shown: Any, came: Any) -> bool:
    """Return whether a value is as the document shows it, with the same fields in the same order."""
    match shown:
        case dict():
            return list(shown) == list(came) and all(
                (name in PIECES and type(value) is type(came[name])) or like(value, came[name])
                for name, value in shown.items()
            )
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
        frame = next(each for each in left if each.event == lines["event"])
        assert [name for name, _ in fields(block) if name != "retry"] == [
            name for name, _ in fields(frame.raw.decode())
        ]
        assert like(json.loads(lines["data"]), frame.data), f"shown: {block}\ncame: {frame.raw.decode()}"


@pytest.fixture
async def waiting(serve: Serve) -> LiveServer:
    """A server that knows of a worker, which claims nothing."""
    server = await serve(worker_concurrency=0)
    store: Store = server.runtime.services.store
    with store.open_heart() as heart:
        heart.beat(worker(), [], lease_seconds=60)
    return server


async def submit(server: LiveServer) -> wire.RawResponse:
    return await wire.request(
        server.url, "POST", "/messages", headers={"Content-Type": "application/json"}, body=QUESTION
    )


async def test_a_submit_is_answered_as_the_tour_shows(waiting: LiveServer) -> None:
    head, _, body = sample(README, "submit").partition("\n\n")
    status, *headers = head.splitlines()
    came = await submit(waiting)
    assert status == f"HTTP/1.1 {came.status} Accepted"
    for name, _, value in (header.partition(": ") for header in headers):
        shown, told = value.split("/"), came.headers[name].split("/")
        assert all(map(like, shown, told)), (value, came.headers[name])
    assert like(json.loads(body), came.json()), came.body.decode()


async def test_a_stream_is_as_the_tour_shows(waiting: LiveServer, serve: Serve, model: StubServer) -> None:
    model.replies.append(Answer("The capital of France is Paris."))
    message_id = (await submit(waiting)).json()["message_id"]
    async with wire.stream(waiting.url, message_id) as stream:
        await stream.until("waiting")
        await serve(worker_concurrency=1)  # on the same queue
        await stream.rest()
    check_events(sample(README, "stream"), stream.frames)
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
    check_events(sample(README, "retry"), stream.frames)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("end", Completed("The answer.")),
        ("question", Interrupted('[{"id": "6c53", "value": {"question": "May I?"}}]', 3600.0)),
    ],
)
async def test_a_webhook_is_told_as_the_guide_shows(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str, outcome: Completed | Interrupted
) -> None:
    monkeypatch.setattr(webhooks, "POLL_SECONDS", 0.05)
    server = await serve(worker_concurrency=0, webhook_secret=SECRET, webhook_allow_private=True)
    async with receiver() as there:
        events = ["completed", "interrupted"]
        submitted = await server.submit(webhook_url=there.url(), webhook_events=events)
        await end(server, submitted["message_id"], outcome)
        [got] = await until(lambda: there.requests, "the webhook comes")
    assert like(json.loads(sample(CONTROL, name)), json.loads(got.body)), got.body.decode()


def described() -> dict[str, Any]:
    return dict(json.loads(openapi())["components"]["schemas"])


@pytest.mark.parametrize("name", [name for name, schema in described().items() if "examples" in schema])
def test_the_examples_of_the_description_are_whole(name: str) -> None:
    """As its schema says; that of a reply, which takes no default for what it lacks, has every field."""
    schemas = described()
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})
    is_body = schemas[name].get("additionalProperties") is False
    for example in schemas[name]["examples"]:
        validator.validate(example)
        assert example.keys() <= schemas[name]["properties"].keys()
        if not is_body and name != "Problem":
            assert example.keys() == schemas[name]["properties"].keys()
