"""The HTTP process: `python -m app.main`, or `uvicorn app.main:app`."""

import gc

_collects = gc.isenabled()
gc.disable()  # the collector would look 200 times through what the imports below make, and find nothing

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from types import FrameType

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from .api.application import Application, make_application
from .api.connections import connection_limit
from .api.uvicorn_http_protocol import protocol_for
from .api.uvicorn_protocol import ConnectedWebSocketProtocol
from .bootstrap import Runtime
from .config import Settings
from .dashboard.routes import dashboard_routes
from .errors import ConfigurationError
from .protocols import SURFACES
from .startup import FAILED_EXIT_CODE, await_engines, run, set_up_process

logger = logging.getLogger(f"{__package__}.main")

SEND_BUFFER_BYTES = 64 * 1024
"""Send buffer of each connection. With the default, a client that does not read would take four megabytes."""

STOP_SECONDS = 1.7
"""Time limit for the end of the process after SHUTDOWN_GRACE_SECONDS. The documentation promises 2 seconds."""

CLOSE_SECONDS = 3
"""How long open requests may take after SIGTERM. Streams end at once."""

PING_SECONDS = 20.0
"""Interval between pings of a WebSocket, and the time limit for the client's answer."""

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  addresses to listen on, not to show

GARBAGE_THRESHOLDS = (10_000, 10, 10)
"""Thresholds of Python's garbage collector. Its defaults are 700, 10, 10."""


def create_app(
    settings: Settings, *, runtime: Runtime | None = None, owns_process: bool = False, awaits_engines: bool = False
) -> Application:
    """Return the application, not yet running. Raises ConfigurationError if a setting cannot work.

    With `owns_process`, the application may change Python's garbage collection for the whole process. With
    `awaits_engines`, the application's start waits for the databases.
    """
    runtime = runtime or Runtime(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if awaits_engines:
            await await_engines(settings)
        with _on_termination(runtime.begin_stop, settings):  # includes the drain: a second signal must end it
            async with runtime.running(), _rare_collections(runtime) if owns_process else nullcontext():
                yield

    return make_application(runtime.services, lifespan, SURFACES, dashboard_routes())


@asynccontextmanager
async def _rare_collections(runtime: Runtime) -> AsyncIterator[None]:
    """Make Python's garbage collector run less often, and skip objects that live as long as the process.

    The hundreds of thousands of objects of FastAPI and LangGraph would be visited again and again. That took a sixth of
    a submit's time, in pauses of 40 ms (`python -m bench submit`).
    """

    async def freeze_again() -> None:
        await runtime.services.registry.loaded.wait()
        gc.collect()
        gc.freeze()

    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.freeze()  # without a collection, which would take 0.1 s before the port opens and free less than 1 %
    freezing = asyncio.create_task(freeze_again(), name="freeze what is loaded")
    try:
        yield
    finally:
        freezing.cancel()


@contextmanager
def _on_termination(stop: Callable[[], None], settings: Settings) -> Iterator[None]:
    """Have the first SIGTERM or SIGINT call `stop`, then the server's handler. A second signal ends the process.

    The process also ends when its grace has passed, even if an agent's or a library's code still runs.

    A server waits for its open streams before it notifies the application, so `stop` must end the streams first. If the
    process ends at once, other processes take its messages when its leases expire.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)
        _end_process_in(settings.shutdown_grace_seconds + STOP_SECONDS, 128 + number)
        loop.call_soon_threadsafe(stop)
        if callable(handler := before[signal.Signals(number)]):
            handler(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_process_in(seconds: float, code: int) -> None:
    """End the process after `seconds` with exit code `code`, even while it waits for threads."""

    def end() -> None:
        logger.error("The process did not stop in time and is ended: seconds=%g", seconds)
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the port, so that no other process can bind it. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        cure = ": set PORT to a free port, or stop the program that has it" if taken else ""
        raise OSError(error.errno, f"HOST, PORT: {error.strerror or error}{cure}") from error
    return listener


def server_config(app: Application) -> uvicorn.Config:
    """Return uvicorn's configuration. It reads no forwarding headers, which is the work of `app.api.forwarding`."""
    return uvicorn.Config(
        app,
        http=protocol_for(app.finish_refusal),
        ws=ConnectedWebSocketProtocol,
        ws_max_size=app.services.settings.max_body_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        limit_concurrency=connection_limit(app.services.settings.max_connections),
        log_config=None,
        access_log=logging.getLogger("uvicorn.access").isEnabledFor(logging.INFO),
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=min(CLOSE_SECONDS, 1 + int(app.services.settings.shutdown_grace_seconds)),
    )


def serve(settings: Settings) -> None:
    """Run the server until it is stopped. Raises AgentQueueError and OSError while starting.

    The port refuses connections until the server can answer. A probe or a load balancer then tries another process.
    """
    with listen(settings.host, settings.port) as listener:
        asyncio.run(await_engines(settings))
        app = create_app(settings, owns_process=True)
        server = Server(server_config(app))
        with _clean_exit():
            server.run(sockets=[listener])
    if not server.started:
        sys.exit(FAILED_EXIT_CODE)  # uvicorn has logged why


@contextmanager
def _clean_exit() -> Iterator[None]:
    """Have SIGTERM and SIGINT end the process with exit code 0 while no server handles them.

    After its clean stop, uvicorn raises the signals again that it received. Python's own handlers would end the process
    with a traceback or by the signal.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Server(uvicorn.Server):
    """Uvicorn's server. It also logs its address as soon as it listens."""

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets if sockets and self.started else ():
            host, port, *_ = listener.getsockname()
            host = "localhost" if host in EVERYWHERE else host
            logger.info("Serving on http://%s:%d, its API described under /docs", host, port)


async def _work(settings: Settings) -> None:
    runtime = Runtime(settings)
    stopping = asyncio.Event()

    def stop() -> None:
        runtime.begin_stop()
        stopping.set()

    if runtime.metrics is not None:
        runtime.metrics.serve()
    with _ignored_signals(), _on_termination(stop, settings):
        async with runtime.running(), _rare_collections(runtime):
            await stopping.wait()
        logging.shutdown()
        os._exit(0)  # a thread that hangs would keep the process alive; its writes are fenced off


@contextmanager
def _ignored_signals() -> Iterator[None]:
    """Ignore SIGTERM and SIGINT while no other handler is set. Python's defaults would end the process at once."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def work(settings: Settings) -> None:
    """Run messages without an API until the process is stopped. Raises AgentQueueError while starting."""
    if settings.worker_concurrency == 0:
        raise ConfigurationError("WORKER_CONCURRENCY: expected at least 1 for a worker, got 0")
    if settings.database_url == "memory://":
        raise ConfigurationError("DATABASE_URL: expected a database that other processes can reach, got 'memory://'")
    asyncio.run(await_engines(settings))
    asyncio.run(_work(settings))


def __getattr__(name: str) -> Application:
    """Return a new application for the name `app`. Importing this module therefore reads no settings."""
    if name != "app":
        raise AttributeError(name)
    return create_app(set_up_process(), owns_process=True, awaits_engines=True)


if _collects:
    gc.enable()

if __name__ == "__main__":
    gc.freeze()  # before the collector looks at what was imported
    run(serve)
