"""LangGraph's own server, in an environment of its own, and this one, with the same graphs."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.differential.graphs import GRAPHS
from tests.graph_control import GraphControl
from tests.servers import ROOT, SETTING_NAMES, free_port

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".reference"
STAMP = "installed.json"
INSTALL_SECONDS = 600
START_SECONDS = 120.0
STOP_SECONDS = 15.0
SLOTS = "10"
"""How many runs each server has going at a time."""

SHARED = ("langgraph", "langgraph-checkpoint", "langchain-core", "langgraph-sdk")
"""Packages that both servers have in the same version."""

PACKAGES = ("langgraph-cli==0.4.40", "langgraph-api==0.16.7", "langgraph-runtime-inmem==0.36.7")


class Server(NamedTuple):
    """A server that answers at `url`, and the control of its graphs."""

    url: str
    control: GraphControl


def installed() -> Path:
    """Return the folder of the environment with LangGraph's server. Make it again if its packages changed."""
    wanted = [*PACKAGES, *(f"{name}=={version(name)}" for name in SHARED)]
    stamp = ENVIRONMENT / STAMP
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        uv = str(Path(sys.executable).parent / "uv")
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT))
        _run(uv, "pip", "install", "--quiet", "--python", str(ENVIRONMENT / "bin" / "python"), *wanted)
        stamp.write_text(json.dumps(wanted))
    return ENVIRONMENT


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)


@contextlib.contextmanager
def reference_server(folder: Path) -> Iterator[Server]:
    """LangGraph's own server, which keeps everything in memory."""
    port = free_port()
    command = [
        *(str(installed() / "bin" / "langgraph"), "dev", "--no-browser", "--no-reload", "--allow-blocking"),
        *("--n-jobs-per-worker", SLOTS, "--host", "127.0.0.1", "--port", str(port)),
    ]
    quiet = {"LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    with _started(command, folder, quiet, f"http://127.0.0.1:{port}", "/ok") as server:
        yield server


@contextlib.contextmanager
def our_server(folder: Path) -> Iterator[Server]:
    """This server. It tries each message once, as LangGraph's does with failed runs."""
    port = free_port()
    settings = {
        "DATABASE_URL": f"sqlite:///{folder / 'queue.db'}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKER_CONCURRENCY": SLOTS,
        "MAX_ATTEMPTS": "1",
        "LANGGRAPH_CONFIG": str(folder / "langgraph.json"),
    }
    command = [sys.executable, "-m", "app.main"]
    with _started(command, folder, settings, f"http://127.0.0.1:{port}/langgraph", "/../health/ready") as server:
        yield server


@contextlib.contextmanager
def _started(command: Sequence[str], folder: Path, settings: dict[str, str], url: str, probe: str) -> Iterator[Server]:
    """Start a server in a folder with the graphs, and end it afterwards."""
    steered = folder / "control"
    steered.mkdir(parents=True)
    control = GraphControl(steered)
    graphs = {name: f"{HERE / 'graphs.py'}:{name}" for name in GRAPHS}
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    inherited = {name: value for name, value in os.environ.items() if name not in SETTING_NAMES}
    environment = {**inherited, "PYTHONPATH": str(ROOT), **control.environment, **settings}
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _await(process, f"{url}{probe}", log)
        yield Server(url, control)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < end:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer: {log.read_text()}")
