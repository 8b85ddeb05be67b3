"""Runs that clients of the surfaces begin are counted and traced like those of the native API."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from tests import wire
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_metrics import scrape, value
from tests.integration.test_traces import HEADERS, TRACE
from tests.servers import until
from tests.spans import Spans, context_of

SAID = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Hi"}]}
AGENTS = {"steps": "tests.graphs:steps", "failing": "tests.graphs:failing"}


def of_a2a(method: str, agent: str) -> tuple[str, dict[str, Any]]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": SAID}}
    return f"/a2a/{agent}", body


def of_ag_ui(agent: str) -> tuple[str, dict[str, Any]]:
    messages = [{"id": "m", "role": "user", "content": "Hi"}]
    empty: dict[str, Any] = {"state": {}, "tools": [], "context": [], "forwardedProps": {}}
    return f"/agui/{agent}", {"threadId": "t", "runId": "r", "messages": messages, **empty}


class Surface(NamedTuple):
    """A way to begin a run. `kind` is the kind of reader that its reply is."""

    kind: str
    path: str
    body: Mapping[str, Any]


def surface_of(name: str, agent: str) -> Surface:
    """How a surface begins a run of an agent."""
    native = {"message": "Hi", "agent": agent}
    chat = {"model": agent, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    return {
        "native stream": Surface("stream", "/messages", native),
        "native wait": Surface("wait", "/messages", native),
        "OpenAI stream": Surface("stream", "/v1/chat/completions", chat),
        "AG-UI": Surface("stream", *of_ag_ui(agent)),
        "A2A stream": Surface("stream", *of_a2a("SendStreamingMessage", agent)),
        "A2A wait": Surface("wait", *of_a2a("SendMessage", agent)),
    }[name]


NAMES = ["native stream", "native wait", "OpenAI stream", "AG-UI", "A2A stream", "A2A wait"]
surfaces = pytest.mark.parametrize("name", NAMES)


def asked_for(name: str, **more: str) -> dict[str, str]:
    """The headers of a request."""
    accepted = {"native stream": {"Accept": "text/event-stream"}, "native wait": {"Prefer": "wait=30"}}.get(name, {})
    return {"Content-Type": "application/json", **accepted, **more}


@surfaces
async def test_a_run_is_counted_while_it_is_read_and_when_it_has_ended(
    serve: Serve, control: GraphControl, name: str
) -> None:
    server = await serve(agents=AGENTS)
    way = surface_of(name, "steps")
    control.hold("first")
    asking = asyncio.create_task(
        wire.request(server.url, "POST", way.path, headers=asked_for(name), body=json.dumps(way.body).encode())
    )
    await until(lambda: control.waits("first"), "the agent runs")

    async def is_read() -> bool:
        return value(await scrape(server.url), "readers_open", kind=way.kind) == 1

    await until(is_read, "its reader is counted")
    found = await scrape(server.url)
    assert value(found, "readers_open") == 1
    assert value(found, "messages_submitted_total", agent="steps", priority="normal") == 1
    control.release("first")
    assert (await asking).status == 200
    await until(lambda: server.runtime.services.streams.open_by_kind()[way.kind] == 0, "nobody reads")
    found = await scrape(server.url)
    assert value(found, "messages_submitted_total") == 1
    assert value(found, "messages_finished_total", agent="steps", outcome="completed") == 1
    assert value(found, "attempts_finished_total", agent="steps") == 1
    assert value(found, "store_call_seconds_count", verb="add") == 1
    assert value(found, "readers_open") == 0


@surfaces
async def test_a_run_belongs_to_the_trace_of_its_request(
    serve: Serve, control: GraphControl, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spans = Spans().use(monkeypatch)
    server = await serve(agents=AGENTS)
    way = surface_of(name, "steps")
    headers = asked_for(name, traceparent=HEADERS["traceparent"], tracestate=HEADERS["tracestate"])
    reply = await wire.request(server.url, "POST", way.path, headers=headers, body=json.dumps(way.body).encode())
    assert reply.status == 200, reply
    await until(lambda: spans.named("attempt"), "the attempt is recorded")
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert message["trace_id"] == TRACE
    assert {context_of(span).trace_id for span in spans.all} == {int(TRACE, 16)}
    receive = spans.one("receive")
    assert (receive.attributes or {})["messaging.message.id"] == message["message_id"]
    assert spans.path(spans.one("wait")) == ["receive", "wait"]
    assert spans.path(spans.one("attempt")) == ["receive", "attempt"]


@surfaces
async def test_a_refused_run_is_a_failed_span_and_no_message(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spans = Spans().use(monkeypatch)
    server = await serve(worker_concurrency=0, max_queue_size=1, agents=AGENTS)
    await server.submit(agent="steps")
    way = surface_of(name, "steps")
    reply = await wire.request(
        server.url, "POST", way.path, headers=asked_for(name), body=json.dumps(way.body).encode()
    )
    assert reply.status == 503, reply
    assert (spans.named("receive")[-1].attributes or {})["error.type"] == "queue_full"
    found = await scrape(server.url)
    assert value(found, "messages_submitted_total") == 1
    assert value(found, "readers_open") == 0
