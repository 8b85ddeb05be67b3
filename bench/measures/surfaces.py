"""Measures what a surface costs beside the native API: streams to many readers, and the time to the first piece.

**Readers.** A writer in another process appends to a running message at a steady rate, and all readers read meanwhile.
Compared is the processor time of the API process per event, natively and over the surface. Readers of one form share
the frames, so the surface makes each frame once.

**First piece.** One request submits and streams. Measured is the time until the first piece of the answer has arrived.
Compared is a native run that has the same: a memory, a request key, an object as input, further events.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import MappingProxyType
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


MESSAGE_ID = "MESSAGE_ID"
"""Stands for the id of the message that is read. A message without a thread has one of its own with this id."""

OPEN_SECONDS = 0.02
"""Pause between the opening of a thread's stream and its first command, as a page is opened before its user types."""


class Surface(NamedTuple):
    """How a surface streams a message without a thread, and how it submits and streams in one request.

    `piece` is in the first frame that has a piece of the answer.
    """

    name: str
    stream: str
    submit: str
    body: dict[str, Any]
    piece: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    mark: str = "\ndata: "
    """A text that each event of the stream has once."""
    reads: str = ""
    """The body of the POST that reads the stream, in which MESSAGE_ID stands for the id; empty for a GET."""


AGENT_PROTOCOL = "LangGraph's agent protocol"
"""It submits by one request, and streams a thread by another, which is open before."""

NATIVE = Surface("native", "/messages/{}/stream", "/messages", {"message": "Hi"}, b"event: chunk")
NATIVE_THREAD = NATIVE._replace(
    name="native, with all that the protocol's runs have",
    body={"message": "Hi", "thread_id": NEW_ID, "events": ["values", "updates", "custom"]},
)
NATIVE_CHAT = NATIVE._replace(
    name="native, with all that the AI SDK's runs have",
    body={"message": "Hi", "thread_id": NEW_ID, "events": ["custom"]},
    headers=MappingProxyType({"Idempotency-Key": NEW_ID}),
)
NATIVE_RUN = NATIVE._replace(
    name="native, with all that AG-UI's runs have",
    body={
        "message": "Hi",
        "thread_id": NEW_ID,
        "events": ["custom", "node"],
        "client_message_id": NEW_ID,
        "aliases": [f"run-{NEW_ID}", f"message-{NEW_ID}"],
    },
    headers=MappingProxyType({"Idempotency-Key": NEW_ID}),
)
NATIVE_TASK = NATIVE._replace(
    name="native, with all that A2A's tasks have",
    body={"message": "Hi", "thread_id": NEW_ID},
)
NATIVE_INPUT = NATIVE._replace(
    name="native, with an object as input", body={"input": {"messages": [["user", "Hi"]]}, "agent": "clock"}
)
TOOLS = "MCP"
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "run_clock", "arguments": {"message": "Hi"}, "_meta": {"progressToken": "t"}},
}
STREAMS = "Durable Streams"
"""They are read only: a native request submits, and another one reads the stream."""

NATIVE_READ = "native, submitted and read by two requests"

SURFACES = (
    Surface(STREAMS, "/streams/messages/{}?offset=-1&live=sse", "", {}, b"data:[", mark='{"message_id":'),
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
    Surface(
        "AG-UI",
        "/agui/clock",
        "/agui/clock",
        {"threadId": NEW_ID, "runId": NEW_ID, "messages": [{"id": NEW_ID, "role": "user", "content": "Hi"}]},
        b'data: {"type":"TEXT_MESSAGE_CONTENT"',
        reads=json.dumps({"threadId": MESSAGE_ID, "runId": "bench", "messages": []}),
    ),
    Surface(
        "A2A",
        "/a2a/clock",
        "/a2a/clock",
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "SendStreamingMessage",
            "params": {"message": {"messageId": NEW_ID, "role": "ROLE_USER", "parts": [{"text": "Hi"}]}},
        },
        b'data: {"jsonrpc":"2.0","id":1,"result":{"artifactUpdate"',
        reads=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": MESSAGE_ID}}),
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
            body = each.reads.replace(MESSAGE_ID, message_id)
            paths = [each.stream.format(message_id)]
            delivered = deliver(server, LIVE.readers, paths, LIVE.events, write, each.mark, body)
            costs[each.name].append(delivered.processor / delivered.events * 1e6)
    yield row(f"processor time of an event, 64 readers, {backend}", costs[NATIVE.name], "us")
    for each in SURFACES:
        yield row(f"  {each.name}", costs[each.name], "us")
        yield row("  ratio", ratios(costs[each.name], costs[NATIVE.name]), most=1.5)


def _firsts(backend: str, server: Server) -> Iterator[Row]:
    natives = {
        "LangGraph": NATIVE_INPUT.name,
        "OpenAI": NATIVE.name,
        "AI SDK": NATIVE_CHAT.name,
        "AG-UI": NATIVE_RUN.name,
        "A2A": NATIVE_TASK.name,
        AGENT_PROTOCOL: NATIVE_THREAD.name,
        STREAMS: NATIVE_READ,
        TOOLS: NATIVE.name,
    }
    all_natives = (NATIVE, NATIVE_INPUT, NATIVE_CHAT, NATIVE_RUN, NATIVE_TASK, NATIVE_THREAD)
    firsts: dict[str, Callable[[int], float]] = {
        each.name: functools.partial(_first, surface=each) for each in (*all_natives, *SURFACES) if each.submit
    }
    streams = {
        STREAMS: ("/streams/messages/{}?offset=-1&live=sse", b'"type":"chunk"'),
        NATIVE_READ: ("/messages/{}/stream", b"event: chunk"),
    }
    for each_name, (path, piece) in streams.items():
        firsts[each_name] = functools.partial(_first_by_two, path=path, piece=piece)
    firsts[AGENT_PROTOCOL] = _first_in_thread
    firsts[TOOLS] = _first_of_call
    times: dict[str, list[float]] = {name: [] for name in firsts}
    for number in range(FIRSTS + 20):
        for name, first in firsts.items():
            seconds = first(server.port)
            if number >= 20:  # the first requests warm up
                times[name].append(seconds * 1e3)
    yield row(f"submit to first piece, {backend}", times[NATIVE.name], "ms")
    for alike in [*(each.name for each in all_natives[1:]), NATIVE_READ]:
        yield row(f"  {alike}", times[alike], "ms")
    for name, native in natives.items():
        yield row(f"  {name}", times[name], "ms")
        more = [one - other for one, other in zip(times[name], times[native], strict=True)]
        yield row("  more", more, "ms", most=3)


def _first(port: int, surface: Surface) -> float:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        began = time.perf_counter()
        new_id = str(uuid4())
        headers = {name: value.replace(NEW_ID, new_id) for name, value in surface.headers.items()}
        stream = _posted(connection, surface.submit, json.dumps(surface.body).replace(NEW_ID, new_id), headers)
        _await_line(stream, surface.piece)
        return time.perf_counter() - began


def _first_by_two(port: int, path: str, piece: bytes) -> float:
    """Return the time from a native submit to the first piece in a stream that another request reads."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        began = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/messages", json.dumps(NATIVE.body), headers)
        message_id = json.loads(connection.getresponse().read())["message_id"]
        connection.request("GET", path.format(message_id))
        stream = connection.getresponse()
        while line := stream.readline():
            if piece in line:
                return time.perf_counter() - began
    raise RuntimeError(f"the stream ended before {piece!r}")


def _first_of_call(port: int) -> float:
    """Return the time from the call of an agent's tool to the first text. Notes have numbers with a fraction."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        began = time.perf_counter()
        stream = _posted(connection, "/mcp", json.dumps(CALL), {"Accept": "application/json, text/event-stream"})
        while line := stream.readline():
            if line.startswith(b"data: {"):
                told = json.loads(line.removeprefix(b"data: ")).get("params", {})
                if float(told.get("progress", 0.5)).is_integer():
                    return time.perf_counter() - began
    raise RuntimeError("the call ended before its first text")


def _first_in_thread(port: int) -> float:
    """Return the time from the command to the first piece in the stream of the thread."""
    thread = f"/langgraph/threads/{uuid4()}"
    command = {
        "id": 1,
        "method": "run.start",
        "params": {"assistant_id": "clock", "input": {"messages": [["user", "Hi"]]}},
    }
    with (
        closing(HTTPConnection("127.0.0.1", port, timeout=30)) as following,
        closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
    ):
        stream = _posted(following, f"{thread}/stream/events", json.dumps({"channels": ["messages", "lifecycle"]}))
        time.sleep(OPEN_SECONDS)
        began = time.perf_counter()
        _posted(connection, f"{thread}/commands", json.dumps(command)).read()
        _await_line(stream, b"event: messages")
        return time.perf_counter() - began


def _posted(
    connection: HTTPConnection, path: str, body: str, headers: Mapping[str, str] = MappingProxyType({})
) -> HTTPResponse:
    common = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    connection.request("POST", path, body, {**common, **headers})
    response = connection.getresponse()
    if response.status != HTTPStatus.OK:
        raise RuntimeError(f"{path}: {response.status} {response.read()!r}")
    return response


def _await_line(stream: HTTPResponse, begin: bytes) -> None:
    while line := stream.readline():
        if line.startswith(begin):
            return
    raise RuntimeError(f"the stream ended before {begin!r}")
