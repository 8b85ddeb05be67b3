"""Measures what a surface costs beside the native API: streams to many readers, and the time to the first piece.

**Readers.** A writer in another process appends to a running message at a steady rate, and all readers read meanwhile.
Compared is the processor time of the API process per event, natively and over the surface. Readers of one form share
the frames, so the surface makes each frame once.

**First piece.** One request submits and streams. Measured is the time until the first piece of the answer has arrived.
"""

import functools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from bench.backends import database
from bench.measures.runs import FEW_TOKENS
from bench.measures.streams import LineProgram, Live, Server, deliver
from bench.processes import free_port, process, settings, wait_for_port
from bench.report import Row, ratios, row

ROUNDS = 7
LIVE = Live(64, 800, 8, 0.01)
FIRSTS = 200
"""Requests of each kind whose time to the first piece is measured, in turn."""

NEW_ID = "NEW_ID"
"""Stands for an id that is new for each request."""


class Surface(NamedTuple):
    """How a surface streams a message without a thread, and how it submits and streams in one request.

    `piece` is in the first frame that has a piece of the answer.
    """

    name: str
    stream: str
    submit: str
    body: dict[str, Any]
    piece: bytes


NATIVE = Surface("native", "/messages/{}/stream", "/messages", {"message": "Hi"}, b"event: chunk")
SURFACES = (
    Surface(
        "LangGraph",
        "/langgraph/threads/{0}/runs/{0}/stream?stream_mode=messages-tuple",
        "/langgraph/runs/stream",
        {"assistant_id": "clock", "input": {"messages": [["user", "Hi"]]}, "stream_mode": "messages-tuple"},
        b"event: messages",
    ),
    Surface(
        "OpenAI",
        "/v1/responses/resp_{}?stream=true",
        "/v1/responses",
        {"model": "clock", "input": "Hi", "stream": True, "store": False},
        b"event: response.output_text.delta",
    ),
    Surface(
        "AI SDK",
        "/api/chat/{}/stream",
        "/api/chat",
        {
            "id": NEW_ID,
            "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
            "agent": "clock",
        },
        b'data: {"type":"text-delta"',
    ),
)


def surfaces(backends: Sequence[str]) -> Iterator[Row]:
    """Measure 64 readers of one run and the time to the first piece over each surface, against the native API."""
    for name in backends:
        with (
            database(name) as (folder, url),
            _server(folder, url, "0") as server,
            LineProgram("-m", "bench.programs.writer", url) as writer,
        ):
            yield from _readers(name, server, writer)
        with database(name) as (folder, url), _server(folder, url, "4") as server:
            yield from _firsts(name, server)


@contextmanager
def _server(folder: Path, url: str, concurrency: str) -> Iterator[Server]:
    port = free_port()
    environment = settings(url, port, WORKER_CONCURRENCY=concurrency, **FEW_TOKENS)
    with process("-m", "app.main", folder=folder, environment=environment) as ours:
        wait_for_port(port)
        time.sleep(1)  # wait for the end of the start, such as the loading of agents
        yield Server(ours.pid, port)


def _readers(backend: str, server: Server, writer: LineProgram) -> Iterator[Row]:
    costs: dict[str, list[float]] = {each.name: [] for each in (NATIVE, *SURFACES)}
    for _ in range(ROUNDS):
        for each in (NATIVE, *SURFACES):
            (message_id,) = writer.ask("running 1")
            write = functools.partial(writer.ask, f"write {LIVE.events} {LIVE.burst} {LIVE.pause}")
            delivered = deliver(server, LIVE.readers, [each.stream.format(message_id)], LIVE.events, write)
            costs[each.name].append(delivered.processor / delivered.events * 1e6)
    yield row(f"processor time of an event, 64 readers, {backend}", costs[NATIVE.name], "us")
    for each in SURFACES:
        yield row(f"  {each.name}", costs[each.name], "us")
        yield row("  ratio", ratios(costs[each.name], costs[NATIVE.name]), most=1.5)


def _firsts(backend: str, server: Server) -> Iterator[Row]:
    times: dict[str, list[float]] = {each.name: [] for each in (NATIVE, *SURFACES)}
    for number in range(FIRSTS + 20):
        for each in (NATIVE, *SURFACES):
            seconds = _first(server.port, each)
            if number >= 20:  # the first requests warm up
                times[each.name].append(seconds * 1e3)
    yield row(f"submit to first piece, {backend}", times[NATIVE.name], "ms")
    for each in SURFACES:
        yield row(f"  {each.name}", times[each.name], "ms")
        more = [one - other for one, other in zip(times[each.name], times[NATIVE.name], strict=True)]
        yield row("  more", more, "ms", most=3)


def _first(port: int, surface: Surface) -> float:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    began = time.perf_counter()
    try:
        body = json.dumps(surface.body).replace(NEW_ID, str(uuid4()))
        connection.request("POST", surface.submit, body, headers)
        response = connection.getresponse()
        while line := response.readline():
            if line.startswith(surface.piece):
                return time.perf_counter() - began
    finally:
        connection.close()
    raise RuntimeError(f"{surface.submit} gave no piece of an answer: {response.status}")
