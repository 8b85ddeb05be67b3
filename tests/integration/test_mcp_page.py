"""The examples of the page about MCP."""

import asyncio
import json
import subprocess
import sys

from tests import wire
from tests.command_line import is_command
from tests.integration.test_keys import bearer, issue
from tests.openai_stub import StubServer
from tests.pages import DOCS, named
from tests.servers import DEADLINE_SECONDS, ROOT, LiveServer

PAGE = DOCS / "how-to" / "use-mcp.md"
LOCAL = "http://localhost:8000"


async def printed(*command: str) -> str:
    """The output of a program. Fails if it does not end with 0."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_example_of_the_page_prints_the_answer(server: LiveServer, model: StubServer) -> None:
    python = named(PAGE, "tested: mcp client").replace(LOCAL, server.url)
    lines = (await printed(sys.executable, "-c", python)).splitlines()
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert lines[-1] == message["result"]
    assert "Attempt 1 has begun." in lines


async def test_the_example_with_a_program_prints_the_answer(server: LiveServer, model: StubServer) -> None:
    python = named(PAGE, "tested: mcp program").replace(LOCAL, server.url)
    ours = f'command={sys.executable!r}, args=["-m", "app.cli", "mcp"'
    begin = 'command="agentq", args=["mcp"'
    assert begin in python
    lines = (await printed(sys.executable, "-c", python.replace(begin, ours))).splitlines()
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert lines == [message["result"]]


async def test_the_example_with_a_key_prints_the_answer(server: LiveServer, model: StubServer) -> None:
    key = await issue(server)
    python = named(PAGE, "tested: mcp key").replace(LOCAL, server.url)
    assert "aq_…" in python
    lines = (await printed(sys.executable, "-c", python.replace("aq_…", key.text))).splitlines()
    (message,) = (await server.client.get("/messages", headers=bearer(key))).json()["messages"]
    assert lines == [message["result"]]


def test_the_program_in_a_hosts_configuration_is_a_command() -> None:
    (given,) = json.loads(named(PAGE, "sample: mcp program"))["mcpServers"].values()
    assert given["command"] == "agentq"
    assert is_command(given["args"])


async def test_the_address_in_a_hosts_configuration_is_served(quiet: LiveServer) -> None:
    (given,) = json.loads(named(PAGE, "sample: mcp host"))["mcpServers"].values()
    assert given["url"].startswith(LOCAL)
    reply = await wire.request(quiet.url, "GET", given["url"].removeprefix(LOCAL))
    assert reply.headers["content-type"] == "application/json"
