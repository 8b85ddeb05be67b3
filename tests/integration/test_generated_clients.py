"""Clients generated from our OpenAPI document are typed: compilers tell the events apart, and real events fit."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.models.attempts import Released
from app.models.inputs import ShownEvent
from app.models.messages import DEFAULT_TENANT, MessageState
from app.models.workers import AgentState, ServedAgent
from tests import wire
from tests.contract.builders import worker
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.states import REFUSED, bring, end
from tests.node_packages import installed, node
from tests.openai_stub import Answer, Status, StubServer, ToolCall
from tests.servers import ROOT, LiveServer, until

FOLDER = ROOT / "tests" / "generated_clients"
CLIENT = ROOT / "clients" / "typescript"
DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
DEADLINE_SECONDS = 100
PYTHON_OPTIONS = (
    "--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel", "--formatters", "builtin",
    "--use-annotated", "--set-default-enum-member", "--keep-field-defaults-off-branch-roots",
)  # fmt: skip
EVENTS = frozenset(
    (
        "waiting", "reset", "processing", "chunk", "custom", "node", "values", "updates", "messages",
        "tasks", "checkpoints", "debug", "usage", "retry", "interrupted", "resumed", "version", "done", "error",
        "cancelled",
    )
)  # fmt: skip
SAID = {
    "waiting": ("position",),
    "reset": ("text",),
    "processing": ("attempt",),
    "node": ("node", "state"),
    "retry": ("attempt", "discard_from"),
    "resumed": ("discard_from",),
    "version": ("from", "to"),
    "done": ("result",),
    "error": ("code",),
    "cancelled": ("state",),
}
"""The fields that the programs tell of each event."""

Events = list[dict[str, Any]]


def run(*command: str, folder: Path, given: str = "") -> str:
    """Return what a program prints; it has to end with 0 and without a warning."""
    done = subprocess.run(
        command, cwd=folder, input=given, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with models that datamodel-code-generator has made of the description."""
    folder = tmp_path_factory.mktemp("python")
    shutil.copy(FOLDER / "use_models.py", folder)
    paths = ["--input", str(DOCUMENT), "--output", "models.py"]
    run(sys.executable, "-m", "datamodel_code_generator", *PYTHON_OPTIONS, *paths, folder=folder)
    return folder / "use_models.py"


@pytest.fixture(scope="module")
def typescript_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled program with types that openapi-typescript has made of the description.

    Both compilers are those of the TypeScript client, which are installed anyway.
    """
    installed(CLIENT)
    folder = tmp_path_factory.mktemp("typescript")
    for name in ("use_api.ts", "package.json", "tsconfig.json"):
        shutil.copy(FOLDER / name, folder)
    (folder / "node_modules").symlink_to(CLIENT / "node_modules")
    programs = folder / "node_modules" / ".bin"
    run(str(programs / "openapi-typescript"), str(DOCUMENT), "--output", "api.ts", folder=folder)
    run(str(programs / "tsc"), folder=folder)
    return folder / "out" / "use_api.js"


def test_the_python_models_are_typed(python_program: Path) -> None:
    checked = run(
        sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".cache", python_program.name,
        folder=python_program.parent,
    )  # fmt: skip
    assert "no issues" in checked


async def test_real_events_fit_the_python_models(
    serve: Serve, model: StubServer, control: GraphControl, python_program: Path
) -> None:
    await check_program(await all_events(serve, model), [sys.executable, str(python_program)])


async def test_real_events_fit_the_typescript_types(
    serve: Serve, model: StubServer, control: GraphControl, typescript_program: Path
) -> None:
    await check_program(await all_events(serve, model), [node(), str(typescript_program)])


async def check_program(found: tuple[str, Events, Events], command: Sequence[str]) -> None:
    """Run a program on events; it has to tell of each what the event says."""
    reply, stored, streamed = found
    assert {event["type"] for event in (*stored, *streamed)} == EVENTS
    lines = [reply.strip(), *(json.dumps(event) for event in streamed)]
    told = await asyncio.to_thread(run, *command, folder=ROOT, given="\n".join(lines))
    assert told.splitlines() == [line_of(event) for event in (*stored, *streamed)]


def line_of(event: dict[str, Any]) -> str:
    """Return what a program is to tell of an event."""
    kind, data = event["type"], event["data"]
    match kind, data.get("type"):
        case "chunk", "tool_call":
            said = ["tool_call", data["chunk"]["name"], min(data["chunk"]["args"])]
        case "chunk", "tool_result":
            said = ["tool_result", data["chunk"]["content"]]
        case "chunk", of:
            said = [of, data["chunk"]]
        case "custom", _:
            said = [json.dumps(data["data"], separators=(",", ":"))]
        case "values" | "updates" | "messages" | "tasks" | "checkpoints" | "debug", _:
            said = [min(data[kind])]
        case "usage", _:
            said = [min(data["models"])]
        case "interrupted", _:
            said = [data["interrupts"][0]["id"]]
        case _:
            said = [data[name] for name in SAID[kind]]
    return " ".join(map(str, [kind, *said]))


async def all_events(serve: Serve, model: StubServer) -> tuple[str, Events, Events]:
    """Return a reply with the log of a message, its events, and parsed events of streams: together all kinds."""
    model.replies.extend([Status(500), ToolCall("_add", {"a": 2, "b": 3}), Answer("It is 5.")])
    server = await serve(agents="tools=tests.graphs:tools", retry_base_seconds=0)
    asked = {"events": [event.value for event in ShownEvent]}
    log = await log_of(server, (await server.submit("2+3?", **asked))["message_id"])
    quiet = await serve(worker_concurrency=0, database_url="memory://", checkpoint_url="memory://")
    streamed = await stream_of(quiet, await asked_and_failed(quiet))
    streamed += await stream_of(quiet, await pruned(quiet))
    streamed += await stream_of(quiet, await moved_and_ended(quiet))
    waiting = (await quiet.submit())["message_id"]
    async with wire.stream(quiet.url, waiting) as stream:
        assert await stream.next() is not None
        await quiet.client.delete(f"/messages/{waiting}")
        await stream.rest()
        streamed += [parsed(frame) for frame in stream.frames]
    return log.text, log.json()["events"], streamed


async def log_of(server: LiveServer, message_id: str) -> Any:
    await server.ended(message_id)
    return await server.client.get(f"/messages/{message_id}/events")


async def asked_and_failed(quiet: LiveServer) -> str:
    message_id = await bring(quiet, MessageState.INTERRUPTED)
    assert (await quiet.client.post(f"/messages/{message_id}/resume", json={"value": 1})).status_code == 202
    await end(quiet, message_id, REFUSED)
    return message_id


async def pruned(quiet: LiveServer) -> str:
    message_id = await bring(quiet, MessageState.COMPLETED)
    store = quiet.runtime.services.store

    async def is_pruned() -> bool:
        await store.prune_logs(older_than_seconds=0, limit=10)
        return (await store.read(DEFAULT_TENANT, message_id, after=0, limit=10)).first > 1

    await until(is_pruned, "the log is pruned")
    return message_id


async def moved_and_ended(quiet: LiveServer) -> str:
    store = quiet.runtime.services.store
    message_id = str((await quiet.submit())["message_id"])
    (claim,) = await store.claim("old", ["chat"], 1, lease_seconds=30, versions={"chat": "v1"})
    await store.finish(claim.lease, Released("The worker was stopped."))
    served = (ServedAgent(name="chat", state=AgentState.AVAILABLE, version="v2"),)
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker("new").model_copy(update={"agents": served}), (), lease_seconds=30)
        assert await store.move_versions(wait_seconds=0) == 1
        renewer.stop("new")
    await store.cancel(DEFAULT_TENANT, message_id)
    return message_id


async def stream_of(server: LiveServer, message_id: str) -> Events:
    return [parsed(frame) for frame in await wire.frames_of(server.url, message_id)]


def parsed(frame: wire.Frame) -> dict[str, Any]:
    return {"id": frame.id, "type": frame.event, "data": frame.data}
