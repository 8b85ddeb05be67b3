"""The commands and the log lines of the specification, on real processes."""

import asyncio
import importlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from app import __version__
from app.config import Settings
from app.errors import ConfigurationError
from app.main import work
from app.observability.logging import logging_config
from tests import wire
from tests.integration.conftest import ChatProcess
from tests.servers import ROOT, ServerProcess, cold_server_process, server_process, settings_for, until

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - [\w.]+ - (DEBUG|INFO|WARNING|ERROR|CRITICAL) - .+")
API_ONLY = {"WORKER_CONCURRENCY": "0"}


async def submit(server: ServerProcess, **fields: str) -> str:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
        response = await client.post("/messages", json={"message": "Hello", **fields})
        assert response.status_code == 202, response.text
        return str(response.json()["message_id"])


def lines_about(server: ServerProcess, message_id: str) -> list[str]:
    """The log lines of this message, without their time."""
    return [line.partition(" - ")[2] for line in server.output.splitlines() if message_id in line]


# What is logged


async def test_the_log_lines_of_the_specification(chat_process: ChatProcess) -> None:
    server = chat_process.server
    message_id = await submit(server, priority="high")
    await until(lambda: len(lines_about(server, message_id)) >= 3, "the message is logged to its end")
    assert lines_about(server, message_id) == [
        f"app.queue_manager - INFO - Message enqueued: id={message_id}, priority=high",
        f"app.worker - INFO - Worker processing message: id={message_id}",
        f"app.agent_processor - INFO - Message processed successfully: id={message_id}",
    ]
    normal = await submit(server)
    await until(lambda: lines_about(server, normal), "the message is logged")
    assert lines_about(server, normal)[0].endswith(f"Message enqueued: id={normal}, priority=normal")
    assert "app.worker - INFO - Worker started" in server.output


async def test_every_line_has_the_format_of_the_specification(chat_process: ChatProcess) -> None:
    message_id = await submit(chat_process.server)
    await until(lambda: len(lines_about(chat_process.server, message_id)) >= 3, "the message is logged to its end")
    traceback = re.compile(r"Traceback|\s|[\w.]+(Error|Exception)?: |The above exception|During handling|$")
    odd = [
        line
        for line in chat_process.server.output.splitlines()
        if not LINE.fullmatch(line) and not traceback.match(line)
    ]
    assert odd == []


async def test_debug_is_more_verbose(chat_process: ChatProcess) -> None:
    message_id = await submit(chat_process.server)
    async with httpx2.AsyncClient(base_url=chat_process.server.url, trust_env=False, verify=False) as client:
        await client.get(f"/messages/{message_id}/status")
    await until(lambda: f"GET /messages/{message_id}/status" in chat_process.server.output, "requests are logged")


async def test_json_lines_and_the_env_file(tmp_path: Path) -> None:
    """LOG_FORMAT and the rest come from `.env`; the environment wins over it."""
    (tmp_path / ".env").write_text(
        "# made from .env.example\nLOG_FORMAT=json\nWORKER_CONCURRENCY=0\nPORT=1\nMODEL_NAME=gpt-4\nOPENAI_API_KEY=\n"
    )
    with server_process(tmp_path) as server:
        await server.ready()
        message_id = await submit(server)
        server.terminate()
        records = [json.loads(line) for line in server.output.splitlines()]
    assert all(record.keys() >= {"time", "logger", "level", "message"} for record in records)
    (enqueued,) = [record for record in records if message_id in record["message"]]
    assert enqueued["logger"] == "app.queue_manager"
    assert enqueued["level"] == "INFO"
    assert enqueued["message"] == f"Message enqueued: id={message_id}, priority=normal"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", enqueued["time"])
    assert {record["logger"].partition(".")[0] for record in records} == {"app", "uvicorn"}


def test_the_logging_file_is_our_own_configuration() -> None:
    assert json.loads((ROOT / "config" / "logging.json").read_text("utf-8")) == logging_config("INFO", "text")


async def test_a_logging_file_decides_alone(tmp_path: Path) -> None:
    config = json.loads((ROOT / "config" / "logging.json").read_text("utf-8"))
    config["formatters"]["text"]["format"] = "MINE %(levelname)s %(message)s"
    file = tmp_path / "logging.json"
    file.write_text(json.dumps(config))
    with server_process(tmp_path, **API_ONLY, LOG_CONFIG=str(file), LOG_LEVEL="ERROR", LOG_FORMAT="json") as server:
        await server.ready()
        message_id = await submit(server)
        server.terminate()
    assert f"MINE INFO Message enqueued: id={message_id}, priority=normal" in server.output.splitlines()
    assert all(line.startswith("MINE ") for line in server.output.splitlines())


def test_the_example_environment_lists_every_setting() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    names = set(re.findall(r"^(?:# ?)?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    assert names == {name.upper() for name in Settings.model_fields}


# How it is started


async def test_uvicorn_serves_the_application_and_sigterm_ends_it(tmp_path: Path) -> None:
    arguments = ("app.main:app", "--host", "127.0.0.1", "--port", "{port}")
    with cold_server_process(tmp_path, "uvicorn", arguments=arguments, **API_ONLY) as server:
        await server.ready()
        message_id = await submit(server)
        async with wire.stream(server.url, message_id) as stream:
            await stream.until("waiting")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert await stream.rest() == []
            assert stream.ended_cleanly
            await asyncio.to_thread(server.process.wait, 10)
            assert time.monotonic() - began < 5
    assert f"app.queue_manager - INFO - Message enqueued: id={message_id}, priority=normal" in server.output
    assert "Traceback" not in server.output


def test_an_importing_server_is_told_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`uvicorn app.main:app` asks for `app`; importing the module alone reads no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAX_QUEUE_SIZE", "none")
    main = importlib.import_module("app.main")
    with pytest.raises(ConfigurationError, match=r"^MAX_QUEUE_SIZE: .*got 'none'$"):
        _ = main.app


def test_a_worker_needs_a_slot(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^WORKER_CONCURRENCY: expected at least 1 for a worker, got 0$"):
        work(settings_for(tmp_path, worker_concurrency=0))


def test_make_puts_the_command_of_the_pages_into_its_environment(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    subprocess.run(["make", "-s", "-C", str(ROOT), f"BIN={tmp_path}", f"{tmp_path}/agentq"], check=True)
    command = [f"{tmp_path}/agentq", "--version"]
    shown = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == __version__
