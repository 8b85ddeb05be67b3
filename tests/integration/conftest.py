"""Servers for the integration tests."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
from langchain_openai.chat_models import _client_utils

from app.agents.loop import AgentLoop
from app.config import Settings
from app.store.ports import Store
from tests.graph_control import GraphControl
from tests.openai_stub import StubServer, openai_stub_in_thread
from tests.screens import OnTerminal
from tests.servers import DEADLINE_SECONDS, LiveServer, ServerProcess, cold_server_process, live_server, settings_for

API_KEY = "sk-test-key-123456"


@pytest.fixture(autouse=True)
async def model_clients_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """LangChain keeps its HTTP clients for the whole process; their connections belong to one agents' event loop."""
    made: list[Any] = []
    loops: dict[Any, asyncio.AbstractEventLoop] = {}
    build = _client_utils._build_async_httpx_client

    def build_and_note(*args: Any) -> Any:
        client = build(*args)
        send = client.send

        async def send_and_note(*args: Any, **options: Any) -> Any:
            loops[client] = asyncio.get_running_loop()
            return await send(*args, **options)

        client.send = send_and_note  # type: ignore[method-assign]  # replaced on purpose
        made.append(client)
        return client

    async def close_those_of_this_loop() -> None:
        for client, loop in loops.items():
            if loop is asyncio.get_running_loop():
                await client.aclose()

    close = AgentLoop.close

    async def close_clients_first(agent_loop: AgentLoop) -> None:
        await agent_loop.call(close_those_of_this_loop)
        await close(agent_loop)

    monkeypatch.setattr(_client_utils, "_cached_async_httpx_client", build_and_note)  # none is shared by two servers
    monkeypatch.setattr(AgentLoop, "close", close_clients_first)
    yield
    for client in made:
        await client.aclose()  # of one that was never used, or is closed already


class Serve(Protocol):
    """Starts servers that end with the test."""

    async def __call__(self, *, store: Store | None = None, **settings: Any) -> LiveServer: ...


@pytest.fixture
def settings(tmp_path: Path, model: StubServer) -> Callable[..., Settings]:
    """Makes settings for servers on the test's folder, whose chat agent talks to the stub."""
    defaults = {"openai_base_url": model.base_url, "openai_api_key": API_KEY, "shutdown_grace_seconds": 0.2}
    return lambda **values: settings_for(tmp_path, **{**defaults, **values})


@pytest.fixture
async def serve(settings: Callable[..., Settings]) -> AsyncIterator[Serve]:
    """Starts servers in the test's event loop."""
    async with contextlib.AsyncExitStack() as running:

        async def start(*, store: Store | None = None, **values: Any) -> LiveServer:
            return await running.enter_async_context(live_server(settings(**values), store=store))

        yield start


@pytest.fixture
def terminals() -> Iterator[list[OnTerminal]]:
    """Ends the commands on terminals that a test has put into this list."""
    started: list[OnTerminal] = []
    yield started
    for terminal in started:
        terminal.close()


@pytest.fixture
async def server(serve: Serve) -> LiveServer:
    """A server as it is by default."""
    return await serve()


@pytest.fixture
def control(tmp_path: Path, model: StubServer, monkeypatch: pytest.MonkeyPatch) -> GraphControl:
    """Steers the graphs of `tests.graphs`; those with a model talk to the stub."""
    control = GraphControl(tmp_path)
    for name, value in control.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    return control


@dataclass(frozen=True)
class ChatProcess:
    """A server process that tests share: `chat` on a stub of its own, logging everything."""

    server: ServerProcess
    stub: StubServer
    health_while_starting: list[str]


@pytest.fixture(scope="session")
def chat_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatProcess]:
    """Starts once, because importing LangGraph takes seconds."""
    folder = tmp_path_factory.mktemp("chat")
    with openai_stub_in_thread() as stub:
        environment = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-canary-7f3a9c", "LOG_LEVEL": "DEBUG"}
        with cold_server_process(folder, **environment) as server:
            yield ChatProcess(server, stub, _watch_start(server))


def _watch_start(server: ServerProcess) -> list[str]:
    """Return the replies of /health until the server was ready."""
    began = time.monotonic()
    seen: list[str] = []
    with httpx2.Client(base_url=server.url, timeout=5, trust_env=False, verify=False) as client:
        while time.monotonic() < began + DEADLINE_SECONDS:
            assert server.process.poll() is None, server.output
            with contextlib.suppress(httpx2.TransportError):
                status = client.get("/health").json()["status"]
                seen.append(status)
                if status == "healthy":
                    return seen
            time.sleep(0.02)
    raise AssertionError(f"not ready: {seen}; {server.output}")


@pytest.fixture
async def quiet(serve: Serve) -> LiveServer:
    """A server that takes messages and runs none."""
    return await serve(worker_concurrency=0)
