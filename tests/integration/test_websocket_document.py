"""`docs/reference/websocket.md`: its conversation happens as it is written, and its examples run."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from app.api import websocket_frames as frames
from app.api.uvicorn_protocol import ConnectedWebSocketProtocol
from tests.documents import REFERENCE
from tests.integration.conftest import Serve
from tests.openai_stub import Answer, Gate, StubServer
from tests.pages import named
from tests.servers import LiveServer, until
from tests.talk import frame_schema, talk

PAGE = REFERENCE / "websocket.md"
ID = "0199f2f4-…"
DIFFERENT_EACH_TIME = frozenset({"created_at", "completed_at", "estimated_start_at", "detail", "waiting_reason"})
EXAMPLE_SECONDS = 30


MODEL_MESSAGE = "lc_run--"
"""How LangChain begins the ids of messages that a model made."""


def lines() -> list[tuple[str, dict[str, Any]]]:
    """Return the frames of the page's transcript, each with its sender."""
    return [(line[0], json.loads(line[2:])) for line in named(PAGE, "sample: transcript").splitlines()]


def same(expected: Any, came: Any) -> bool:
    """Whether a frame is what the document shows, but for what is different each time."""
    if isinstance(expected, dict) and isinstance(came, dict):
        return expected.keys() == came.keys() and all(
            name in DIFFERENT_EACH_TIME or same(value, came[name]) for name, value in expected.items()
        )
    if isinstance(expected, str) and expected.startswith(MODEL_MESSAGE):
        return isinstance(came, str) and came.startswith(MODEL_MESSAGE)
    return bool(expected == came)


def test_every_frame_shown_is_as_the_schema_says() -> None:
    sides = {">": "ClientFrame", "<": "ServerFrame"}
    for side, frame in lines():
        frame_schema(sides[side]).validate(frame)


def test_the_schema_refuses_what_the_server_refuses() -> None:
    for text in (
        "{}",
        '{"type": "shout"}',
        '{"type": "ping", "colour": "red"}',
        '{"type": "submit"}',
        '{"type": "subscribe", "message_id": "x", "after": -1}',
        '{"type": "cancel", "message_id": 7}',
        '{"type": "submit", "message": "x", "idempotency_key": "a b"}',
    ):
        assert not frame_schema("ClientFrame").is_valid(json.loads(text)), text


def test_every_kind_of_frame_is_described() -> None:
    schema = frames.json_schema()["$defs"]
    for side in ("ClientFrame", "ServerFrame"):
        for kind in schema[side]["discriminator"]["mapping"]:
            assert re.search(rf"^\| [^|]*`{kind}`", PAGE.read_text("utf-8"), re.MULTILINE), kind


async def test_the_conversation_happens_as_it_is_written(serve: Serve, model: StubServer) -> None:
    gate = Gate("held")
    model.replies.extend([gate, Answer("Paris.")])
    server = await serve(worker_concurrency=1)
    await server.submit()
    await model.received()
    message_id = ""
    async with talk(server.url) as client:
        for side, shown in lines():
            frame = json.loads(json.dumps(shown, ensure_ascii=False).replace(ID, message_id or ID))
            if side == ">":
                if frame["type"] == "ping":
                    gate.release_all()
                await client.send(**frame)
                continue
            came = await client.next()
            while came.get("event") == "waiting" != frame.get("event"):  # told again when the queue moves
                came = await client.next()
            if not message_id:
                message_id = frame["message_id"] = came["message_id"]
            assert same(frame, came), f"shown: {frame}\ncame: {came}"


async def run(*command: str) -> str:
    """Return what a program printed; it has to end with 0."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(EXAMPLE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def cut_once(server: LiveServer, gate: Gate) -> None:
    """Have a connection break in the middle of an answer, then let the answer go on."""
    connections = server.uvicorn.server_state.connections
    gate.release()

    async def shown() -> bool:
        queue = (await server.client.get("/queue")).json()
        running = [message["id"] for message in queue["processing_messages"]]
        pages = [(await server.client.get(f"/messages/{each}/events")).json() for each in running]
        return any(page["last_event_id"] >= 2 for page in pages)

    await until(shown, "the first token is there")
    cut = [connection for connection in connections if isinstance(connection, ConnectedWebSocketProtocol)]
    assert cut
    for connection in cut:
        connection.transport.abort()
    gate.release_all()


async def test_the_python_example_survives_a_cut(server: LiveServer, model: StubServer, tmp_path: Path) -> None:
    gate = Gate("It is Paris.")
    model.replies.extend([gate, Answer("It is Rome.")])
    script = tmp_path / "ask.py"
    script.write_text(named(PAGE, "file: ask.py").replace("ws://localhost:8000", server.url.replace("http", "ws")))
    asking = asyncio.create_task(run(sys.executable, str(script)))
    await model.received()
    await cut_once(server, gate)
    output = await asking
    assert "It is Paris." in output
    assert "It is Rome." in output
    assert (await server.client.get("/queue")).json()["total_completed"] == 2


async def test_the_example_for_browsers_survives_a_cut(server: LiveServer, model: StubServer, tmp_path: Path) -> None:
    """In Node, whose WebSocket is that of browsers; the example needs nothing else of a page but its location."""
    node = shutil.which("node")
    assert node is not None, "Node.js has to be installed for this test"
    gate = Gate("It is Paris.")
    model.replies.append(gate)
    script = tmp_path / "page.mjs"
    script.write_text(
        f"globalThis.location = new URL({json.dumps(server.url)});\n{named(PAGE, 'file: ask.js')}\n"
        "const pieces = [];\n"
        "const answer = await ask('What is the capital of France?', (piece) => pieces.push(piece));\n"
        "console.log(JSON.stringify({ answer, pieces }));\n"
    )
    asking = asyncio.create_task(run(node, "--no-warnings", "--experimental-websocket", str(script)))
    await model.received()
    await cut_once(server, gate)
    shown = json.loads(await asking)
    assert shown["answer"] == "".join(shown["pieces"]) == "It is Paris."
    assert (await server.client.get("/queue")).json()["total_completed"] == 1


async def test_a_failure_of_the_example_for_browsers_is_thrown(serve: Serve, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0)
    node = shutil.which("node")
    assert node is not None
    script = tmp_path / "page.mjs"
    script.write_text(
        f"globalThis.location = new URL({json.dumps(server.url)});\n{named(PAGE, 'file: ask.js')}\n"
        "await ask(' ', () => {}).catch((error) => console.log(error.message));\n"
    )
    assert "must not be blank" in await run(node, "--no-warnings", "--experimental-websocket", str(script))
