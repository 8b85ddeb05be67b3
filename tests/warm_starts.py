"""Starts our programs as processes of their own without the price of their imports: forks of a process that has them.

A started process has its own environment, folder, output and signals, and ends as any other. Only what it imports is
there already, which for a server with LangGraph is most of what a start costs. Tests of the start itself do without.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from app.bootstrap import MULTIPROCESS_FOLDER
from app.dashboard.routes import dashboard_routes
from app.store.redis.scripts import load_scripts

ROOT = Path(__file__).parent.parent
PROGRAMS = frozenset(
    (
        "app.main",
        "app.worker",
        "app.cli",
        "tests.dies_while_deleting",
        "tests.dies_while_forking",
        "tests.patient_server",
        "uvicorn",
    )
)
"""Modules that can be started."""

PRELOADED = (
    "app.main",
    "app.cli.main",
    "app.agents.builtin",
    "app.agents.graphs",
    "app.agents.langgraph",
    "app.agents.model_client",
    "app.checkpoints.sqlite",
    "app.checkpoints.postgres",
    "app.checkpoints.redis",
    "app.store.sqlite.store",
    "app.store.postgres.store",
    "app.store.redis.store",
    "fastapi.telemetry._runtime",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
COUNTING = "app.metrics"
"""Brings prometheus-client, which decides at its import whether several processes count together."""

MAX_REQUEST_BYTES = 1 << 20
LOOK_SECONDS = 0.01


class WarmProcess:
    """A started process, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, starter: "WarmStarter", pid: int, arguments: Sequence[str]) -> None:
        self._starter = starter
        self._arguments = arguments
        self._lock = threading.Lock()
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._starter.ask({"pid": self.pid})
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._arguments, timeout)
            time.sleep(LOOK_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)


class WarmStarter:
    """The process that forks. It ends with the test process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        output: IO[bytes],
        errors: IO[bytes] | None = None,
    ) -> WarmProcess:
        """Start `python -m` with these arguments, or `python -c` if they begin with `-c`."""
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        return WarmProcess(self, self.ask(request, output.fileno(), (errors or output).fileno()), arguments)

    def ask(self, request: Mapping[str, Any], *files: int) -> Any:
        """Send a request with files and return the answer."""
        with self._lock:
            socket.send_fds(self._control, [json.dumps(request).encode()], files)
            answer = self._control.recv(MAX_REQUEST_BYTES)
        assert answer, "the process that forks has ended"
        return json.loads(answer)

    def close(self) -> None:
        """End the process that forks; what it started goes on."""
        self._control.close()
        self._process.wait()


@functools.cache
def shared_starter() -> WarmStarter:
    """The one that the tests of a process use."""
    starter = WarmStarter()
    atexit.register(starter.close)
    return starter


# In the process that forks


def _serve(control: socket.socket, imported: Mapping[str, str]) -> list[str] | None:
    """Fork as told until the test process is gone. Return in each forked process, with what it is to run.

    `imported` are the environment variables that imports have set.
    """
    while True:
        message, files, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 2)
        if not message:
            return None
        request = json.loads(message)
        if "pid" in request:
            pid, status = os.waitpid(request["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif answer := os.fork():
            for file in files:
                os.close(file)
        else:
            control.close()
            _become(request, *files)
            os.environ.update(imported)
            arguments: list[str] = request["arguments"]
            return arguments
        control.send(json.dumps(answer).encode())


def _become(request: Mapping[str, Any], output: int, errors: int) -> None:
    """Take over what a new process would be given."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for file, number in ((output, 1), (errors, 2)):
        os.dup2(file, number)
        os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]  # text streams, here
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]  # instead of the checkout, which PYTHONPATH names


def _run(module: str, *arguments: str) -> None:
    """Do what `python -m` or `python -c` does."""
    if module == "-c":
        code, *arguments_of_code = arguments
        sys.argv = [module, *arguments_of_code]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        return
    sys.argv = [module, *arguments]
    if not hasattr(sys.modules.get(module), "__path__"):  # of a package, only `__main__` is run
        sys.modules.pop(module, None)  # it is run anew, as the main module
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, then fork as told by the test process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    before = dict(os.environ)
    gc.disable()  # what is imported stays
    for module in PRELOADED:
        importlib.import_module(module)
    dashboard_routes()
    load_scripts()
    others = set(sys.modules)
    importlib.import_module(COUNTING)
    counting = sys.modules.keys() - others
    imported = {name: value for name, value in os.environ.items() if before.get(name) != value}
    assert threading.active_count() == 1, "a process with threads is not to be forked"
    gc.freeze()
    gc.enable()
    if arguments := _serve(control, imported):
        if MULTIPROCESS_FOLDER in os.environ:
            for module in counting:
                del sys.modules[module]
        _end(_code_of(arguments))


def _code_of(arguments: Sequence[str]) -> int:
    """Run a program and return its exit code, after what Python prints about an exception that ends it."""
    try:
        _run(*arguments)
    except SystemExit as error:
        if isinstance(error.code, int | None):
            return error.code or 0
        sys.stderr.write(f"{error.code}\n")
        return 1
    except Exception:  # noqa: BLE001  whatever it is, Python prints it; an interrupt ends the process by its signal
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End as Python does, except that no object is taken apart: each of 700,000 would be copied from the parent's."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, and for what libraries have registered
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
