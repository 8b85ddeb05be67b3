"""Measures the Python and the TypeScript client: what they add to an event, the replay of a long stream, the import."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.report import Row, row

ROOT = Path(__file__).parent.parent.parent
ROUNDS = 5
EVENTS = 10_000
IMPORT = "import time; began = time.perf_counter(); import agentq_client; print(time.perf_counter() - began)"


def prepared() -> bytes:
    """Return a stream of EVENTS events, as the server sends the log of an ended message."""
    frames = ['retry: 1000\nid: 1\nevent: processing\ndata: {"state": "processing", "attempt": 1}\n\n']
    for index in range(EVENTS - 2):
        data = {"type": "content", "chunk": "word ", "index": index, "message": "lc_run--0199f2f4", "node": "model"}
        frames.append(f"id: {index + 2}\nevent: chunk\ndata: {json.dumps(data)}\n\n")
    done = {"state": "completed", "result": "word " * (EVENTS - 2), "completed_at": "2026-11-29T10:00:00.000Z"}
    frames.append(f"id: {EVENTS}\nevent: done\ndata: {json.dumps(done)}\n\n")
    return "".join(frames).encode()


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """Send the stream to everybody from a thread, and return the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def python(*arguments: str) -> str:
    """Return what a new process with the client prints."""
    environment = {"PYTHONPATH": f"{ROOT / 'clients' / 'python' / 'src'}:{ROOT}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def built(folder: Path) -> Path:
    """Build the TypeScript client, and return where it is."""
    npm = shutil.which("npm")
    assert npm is not None, "Node.js with npm has to be installed"
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        subprocess.run([npm, *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "dist"


def typescript(url: str) -> Iterator[Row]:
    """Measure the TypeScript client, each round in a new process."""
    folder = built(ROOT / "clients" / "typescript")
    node = shutil.which("node") or "node"
    command = [node, str(ROOT / "bench" / "programs" / "client_reads.mjs"), str(folder), url, str(EVENTS)]
    rounds = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)]
    core, whole = ([each[name] for each in rounds] for name in ("core", "AgentQ"))
    yield row("TypeScript client, its core, an event", [1e6 * each / EVENTS for each in core], "us", most=50)
    yield row("TypeScript client, an event, all included", [1e6 * each / EVENTS for each in whole], "us", most=50)
    yield row(f"TypeScript client, replay of {EVENTS:,} events", whole, "s", most=1)


def clients(backends: Sequence[str]) -> Iterator[Row]:
    """Measure both clients: microseconds an event, the replay of 10,000 events, and the import of the Python client."""
    python("-c", IMPORT)  # compiles
    yield row("Python client, import", [1000 * float(python("-c", IMPORT)) for _ in range(ROUNDS)], "ms", most=150)
    with serving(prepared()) as url:
        rounds = [json.loads(python("-m", "bench.programs.client_reads", url, str(EVENTS))) for _ in range(ROUNDS)]
        yield from typescript(url)
    core = [1e6 * each["core"] / EVENTS for each in rounds]
    yield row("Python client, its core, an event", core, "us", most=50)
    for name in ("AgentQ", "AsyncAgentQ"):
        seconds = [each[name] for each in rounds]
        yield row(f"{name}, an event, all included", [1e6 * each / EVENTS for each in seconds], "us", most=50)
        yield row(f"{name}, replay of {EVENTS:,} events", seconds, "s", most=1)
