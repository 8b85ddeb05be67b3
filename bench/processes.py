"""Starts servers and loads as processes, each on a core of its own if there are two."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DEADLINE_SECONDS = 60


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pin(pid: int, core: int) -> None:
    """Keep a process on one core. Do nothing if the machine has only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core]})


def wait_for_port(port: int) -> float:
    """Return the seconds until a process listens. Raises TimeoutError."""
    began = time.perf_counter()
    while time.perf_counter() - began < DEADLINE_SECONDS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.perf_counter() - began
        time.sleep(0.005)
    raise TimeoutError(f"nobody listens on port {port}")


def settings(url: str, port: int, **values: str) -> dict[str, str]:
    """Return the environment variables of one of our servers."""
    return {
        "DATABASE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MAX_QUEUE_SIZE": "100000000",
        "LOG_LEVEL": "WARNING",
        **values,
    }


def first_byte_ms(module: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> float:
    """Return the milliseconds until a program writes to standard output. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    root = str(Path(__file__).parent.parent)
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": root, **environment}, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        taken = time.perf_counter() - began
        child.stdout.read()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return taken * 1000


@contextmanager
def process(
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    pinned: bool = True,
    own_session: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python …`, on the first core if `pinned`, and end it on exit.

    Linux divides busy cores among sessions. A process with its own session gets a share of its own, as a service does.
    """
    root = str(Path(__file__).parent.parent)
    child = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=own_session,
    )
    try:
        if pinned:
            pin(child.pid, 0)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def load(port: int, connections: int, seconds: float, *key: str) -> dict[str, float]:
    """Run one round of load from the second core, with an API key if one is given."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.programs.load", str(port), str(connections), str(seconds), *key],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
    )
    pin(child.pid, 1)
    output, _ = child.communicate(timeout=seconds + DEADLINE_SECONDS)
    result: dict[str, float] = json.loads(output)
    return result


def read(port: int, messages: int) -> dict[str, list[float]]:
    """Return what a reader of `messages` answers measured; see `bench.programs.readers`."""
    output = subprocess.check_output(
        [sys.executable, "-m", "bench.programs.readers", str(port), str(messages)],
        cwd=Path(__file__).parent.parent,
        timeout=DEADLINE_SECONDS,
    )
    result: dict[str, list[float]] = json.loads(output)
    return result


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """Return the user and system time of a process in seconds. It is less noisy than a rate on a busy machine."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
