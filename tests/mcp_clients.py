"""The SDK's client of the Model Context Protocol, for tests of its surface, and messages of the protocol by hand."""

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tests import wire
from tests.servers import DEADLINE_SECONDS, ROOT, LiveServer

HANDSHAKE, STATELESS = "legacy", "2026-07-28"
"""How the SDK's client is told to speak the revisions of each kind."""

KINDS = (HANDSHAKE, STATELESS)

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientCapabilities": {},
}
"""The `_meta` of a request without a handshake."""

OLDEST, NEWEST_HANDSHAKE = "2025-03-26", "2025-11-25"
JSON_OR_EVENTS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


class Progress:
    """The progress of a call, as the SDK's client was told it."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        assert message is not None
        self.told.append((progress, message))

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(text for progress, text in self.told if progress.is_integer())

    @property
    def notes(self) -> list[str]:
        """The texts that are not of the answer."""
        return [text for progress, text in self.told if not progress.is_integer()]

    def check_growing(self) -> None:
        """Each number is above the one before."""
        numbers = [progress for progress, _ in self.told]
        assert numbers == sorted(set(numbers))


@contextlib.asynccontextmanager
async def sdk(
    server: LiveServer | str, kind: str = STATELESS, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    """The SDK's client, connected to a server or to the URL before it."""
    url = server if isinstance(server, str) else server.url
    http = httpx2.AsyncClient(headers=dict(headers or {}), timeout=DEADLINE_SECONDS, trust_env=False, verify=False)
    async with http, Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=kind) as client:
        yield client


def text_of(result: CallToolResult) -> str:
    """The text of a result, which is one."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def found(result: CallToolResult) -> dict[str, Any]:
    """The structured content of a result that is no failure."""
    assert not result.is_error, text_of(result)
    return dict(result.structured_content)


def refusal(result: CallToolResult) -> tuple[str, str]:
    """The code and the text of a failure."""
    assert result.is_error
    return str((result.meta or {}).get("agentq/code")), text_of(result)


class Event(NamedTuple):
    """A server-sent event: its id, and the message in it. None stands for no message."""

    id: str
    message: Any


def call(name: str, arguments: Mapping[str, Any] | None = None, request_id: int = 1) -> dict[str, Any]:
    """A call of a tool, with a progress."""
    params = {"name": name, "arguments": dict(arguments or {}), "_meta": {"progressToken": f"t{request_id}"}}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


async def post(server: LiveServer, message: Any, version: str | None = None, **headers: str) -> wire.RawResponse:
    """The reply to a message, or to bytes."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    revision = {} if version is None else {"MCP-Protocol-Version": version}
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return await wire.request(server.url, "POST", "/mcp", headers={**JSON_OR_EVENTS, **revision, **given}, body=body)


def events_of(text: str) -> list[Event]:
    """The events of complete blocks."""
    events = []
    for block in text.split("\n\n")[:-1]:
        lines = [line for line in block.split("\n") if line and not line.startswith((":", "retry:"))]
        fields = dict(line.partition(":")[::2] for line in lines)
        if fields:
            data = fields.get("data", "").strip()
            events.append(Event(fields.get("id", "").strip(), json.loads(data) if data else None))
    return events


@contextlib.asynccontextmanager
async def stdio(url: str, kind: str = STATELESS, **environment: str) -> AsyncIterator[Client]:
    """The SDK's client with `agentq mcp` for a server as a program of its own."""
    program = StdioServerParameters(
        command=sys.executable,
        args=["-m", "app.cli", "mcp"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "AGENTQ_URL": url, **environment},
        cwd=str(ROOT),
    )
    async with Client(program, mode=kind) as client:
        yield client
