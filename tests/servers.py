"""Real servers for tests: the application on a real socket in the test's loop, or as a process that can be killed."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

from app.bootstrap import Runtime
from app.config import Settings
from app.main import create_app, listen, server_config
from app.store.factory import SQLITE
from app.store.ports import Store, message_topic
from tests.few_authorities import VARIABLE, few_authorities, one_authority
from tests.migrated_files import make_migrated
from tests.warm_starts import PROGRAMS, WarmProcess, shared_starter

ROOT = Path(__file__).parent.parent
DEADLINE_SECONDS = 30.0
CLOSE_SECONDS = 2.0
END_SECONDS = 60.0
MIN_LOOK_SECONDS, MAX_LOOK_SECONDS = 0.01, 0.05
"""Pauses between two looks at a condition: a tenth of the time that was waited, within these."""

LOST_HINT_SECONDS = 0.25
"""A message is looked at this often though no hint came."""

SETTING_NAMES = frozenset(name.upper() for name in Settings.model_fields)


async def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE_SECONDS) -> Any:
    """Await a condition, sync or async; its first true value. Fails with `what` when the deadline passes."""
    began = time.monotonic()
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        waited = time.monotonic() - began
        assert waited < deadline, f"not within {deadline:g} s: {what}"
        await asyncio.sleep(min(max(MIN_LOOK_SECONDS, waited / 10), MAX_LOOK_SECONDS))


class GivenSettings(Settings):
    """Settings whose values are given, or the defaults. To look for variables takes most of the time of the others."""

    @classmethod
    @override
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def settings_for(folder: Path, **values: Any) -> Settings:
    """Settings of a test server: small times, a database in the folder, nothing from this environment."""
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{folder / 'queue.db'}",
        "host": "127.0.0.1",
        "port": 0,
        "lease_seconds": 3,
        "shutdown_grace_seconds": 2,
        "log_level": "INFO",
    }
    return GivenSettings(_env_file=None, **{**defaults, **values})


@dataclass
class LiveServer:
    """A running application."""

    url: str
    runtime: Runtime
    client: httpx2.AsyncClient
    app: FastAPI
    uvicorn: uvicorn.Server

    async def submit(self, message: str = "Hello", **fields: Any) -> dict[str, Any]:
        """POST /messages; the reply's body."""
        response = await self.client.post("/messages", json={"message": message, **fields})
        assert response.status_code == 202, response.text
        return dict(response.json())

    async def submit_input(self, given: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """POST /messages with an input in place of a message; the reply's body."""
        response = await self.client.post("/messages", json={"input": given, **fields})
        assert response.status_code == 202, response.text
        return dict(response.json())

    async def status(self, message_id: str) -> dict[str, Any]:
        """GET the status."""
        response = await self.client.get(f"/messages/{message_id}/status")
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def ended(self, message_id: str) -> dict[str, Any]:
        """The status once the message has ended; asked for at each hint, since asking all the time slows what runs."""
        end = time.monotonic() + DEADLINE_SECONDS
        with self.runtime.services.store.subscribe(message_topic(message_id)) as hints:
            while not (status := await self.status(message_id))["completed_at"]:
                assert time.monotonic() < end, f"not within {DEADLINE_SECONDS:g} s: message {message_id} ends"
                await hints.wait(LOST_HINT_SECONDS)
        return status


@contextlib.asynccontextmanager
async def live_server(settings: Settings, *, store: Store | None = None) -> AsyncIterator[LiveServer]:
    """The application on a real socket of `settings.host`, in this event loop; its `url` says 127.0.0.1."""
    with few_authorities():
        async with _live_server(settings, store) as server:
            yield server


@contextlib.asynccontextmanager
async def _live_server(settings: Settings, store: Store | None) -> AsyncIterator[LiveServer]:
    if store is None and settings.database_url.startswith(SQLITE):
        make_migrated(Path(settings.database_url.removeprefix(SQLITE)))
    runtime = Runtime(settings, store=store)
    app = create_app(settings, runtime=runtime)
    listener = listen(settings.host, 0)
    port = listener.getsockname()[1]
    config = server_config(app)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS, trust_env=False, verify=False) as client:
            yield LiveServer(url, runtime, client, app, server)
    finally:
        runtime.begin_stop()
        await _shut_down(server, listener)


async def _shut_down(server: uvicorn.Server, listener: socket.socket) -> None:
    """Do what uvicorn's own shutdown does, without its pauses of 0.1 s."""
    for accepting in server.servers:
        accepting.close()
    listener.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    with contextlib.suppress(AssertionError):
        await until(lambda: not server.server_state.connections, "connections closed", CLOSE_SECONDS)
    for task in server.server_state.tasks:
        task.cancel()
    await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    await server.lifespan.shutdown()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """`python -m app.main`, `python -m app.worker` or another module, or the file of a script, as a process of its own.

    `{port}` in an argument stands for the port that the process is to listen on. One of our own programs finds what it
    imports in memory, unless `cold`.
    """

    process: "subprocess.Popen[bytes] | WarmProcess"

    def __init__(
        self,
        folder: Path,
        module: str = "app.main",
        *,
        arguments: Sequence[str] = (),
        cold: bool = False,
        **environment: str,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
        ours = {
            "DATABASE_URL": f"sqlite:///{folder / 'queue.db'}",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "LEASE_SECONDS": "1.5",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            VARIABLE: one_authority(),
        }
        self.log = folder / f"{Path(module).name}-{self.port}.log"
        arguments = [argument.format(port=self.port) for argument in arguments]
        environment = {**inherited, **ours, **environment}
        with self.log.open("wb") as log:
            if module in PROGRAMS and not cold:
                self.process = shared_starter().start(
                    [module, *arguments], folder=folder, environment=environment, output=log
                )
                return
            program = [module] if Path(module).is_absolute() else ["-m", module]
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=folder,  # no .env of the checkout
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float = DEADLINE_SECONDS) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    @property
    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text()

    async def ready(self, path: str = "/health/ready") -> None:
        """Wait until the probe answers 200."""

        async def look() -> bool:
            assert self.process.poll() is None, self.output
            with contextlib.suppress(httpx2.TransportError):
                return (await client.get(f"{self.url}{path}")).status_code == 200
            return False

        async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=False) as client:
            await until(look, f"{path} answers 200; log: {self.output}")


def finished_process(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of our programs, or `-c` and code, to its end. It finds what it imports in memory."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = shared_starter().start(
            arguments,
            folder=folder,
            environment={"PYTHONPATH": str(ROOT), **environment},
            output=output,
            errors=errors,
        )
        try:
            code = process.wait(END_SECONDS)
        finally:
            process.kill()
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
        return subprocess.CompletedProcess(arguments, code, *texts)


@contextlib.contextmanager
def server_process(
    folder: Path, module: str = "app.main", *, arguments: Sequence[str] = (), **environment: str
) -> Iterator[ServerProcess]:
    """A process that is ended with the test."""
    yield from _until_the_end(ServerProcess(folder, module, arguments=arguments, cold=False, **environment))


@contextlib.contextmanager
def cold_server_process(
    folder: Path, module: str = "app.main", *, arguments: Sequence[str] = (), **environment: str
) -> Iterator[ServerProcess]:
    """A process that imports everything itself and is ended with the test."""
    yield from _until_the_end(ServerProcess(folder, module, arguments=arguments, cold=True, **environment))


def _until_the_end(server: ServerProcess) -> Iterator[ServerProcess]:
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
