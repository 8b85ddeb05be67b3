"""Copies our schemas with pg_dump, and puts the copy back with pg_restore and psql.

pg_dump copies one snapshot while others write. A copy is put back in one transaction, which psql rolls back if
its input ends early.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from typing_extensions import override

from ...errors.backups import BackupDamaged, BackupError, DatabaseMissing, ProgramMissing, TargetInUse
from ..copies import Copier, Progress, Target
from ..schema_version import check_version
from .connection import SCHEMA, connect, connection_parameters, mapped_errors

INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu keep the programs of each version."""

VERSIONS = re.compile(r"^COPY \S*agent_queue_migrations .*\n((?:\d+\n)*)", re.MULTILINE)

MEMORY_SCHEMA = "agent_queue_memory"

MIGRATIONS = f"{SCHEMA}.agent_queue_migrations"

MEMORY_NAME = "agent-queue-memory"
"""The application name of connections to the agents' memory."""

ENDING_SECONDS = 2.0
"""How long sessions may take to end whose processes have been stopped."""

LOOK_SECONDS = 0.05

LOCK_SECONDS = 30
"""How long a restore waits for sessions that still read or write the schemas."""


class PostgresCopier(Copier):
    """Copies the queue, the agents' memory or both, which are schemas of one database."""

    def __init__(self, url: str, *, holds_queue: bool, holds_memory: bool) -> None:
        self._parameters = connection_parameters(url)
        self._holds_queue = holds_queue
        self._schemas = [*([SCHEMA] if holds_queue else ()), *([MEMORY_SCHEMA] if holds_memory else ())]

    @property
    @override
    def engine(self) -> str:
        return "postgres"

    @override
    def copy(self, to: Path, progress: Progress) -> int:
        with mapped_errors(), connect(self._parameters) as connection:
            if self._holds_queue and not _exists(connection, MIGRATIONS):
                raise BackupError("DATABASE_URL: the database has no queue, so there is nothing to back up")
        self._run("pg_dump", "--format=custom", f"--file={to}", *(f"--schema={each}" for each in self._schemas))
        return self._version(to)

    @override
    def check(self, file: Path) -> None:
        self._version(file)

    @override
    def compact(self) -> None:
        with mapped_errors(), connect(self._parameters) as connection:
            connection.autocommit = True
            if self._holds_queue and not _exists(connection, MIGRATIONS):
                raise DatabaseMissing("DATABASE_URL: the database has no queue, so there is nothing to compact")
            connection.execute("SET statement_timeout = 0")
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY (%s) ORDER BY 1, 2", [self._schemas]
            ).fetchall()
            for schema, table in tables:
                connection.execute(SQL("VACUUM (FULL, ANALYZE) {}").format(Identifier(schema, table)))
            with suppress(psycopg.errors.InsufficientPrivilege):  # the server does it by itself later
                connection.execute("CHECKPOINT")

    @override
    def look(self) -> Target:
        with mapped_errors(), connect(self._parameters) as connection:
            deadline = time.monotonic() + ENDING_SECONDS
            while _has_others(connection):
                if time.monotonic() > deadline:
                    raise TargetInUse("Other processes use the database. Stop them first; nothing was changed")
                time.sleep(LOOK_SECONDS)
            if not self._holds_queue or not _exists(connection, f"{SCHEMA}.messages"):
                return Target(has_messages=False)
            found = connection.execute("SELECT EXISTS (SELECT 1 FROM agent_queue.messages)").fetchone()
            return Target(has_messages=bool(found and found[0]))

    @override
    def restore(self, file: Path, progress: Progress) -> None:
        with tempfile.TemporaryFile() as complaints:
            psql = subprocess.Popen(  # noqa: S603  a program of PostgreSQL, without a shell
                [*self._command("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null"],
                stdin=subprocess.PIPE,
                stderr=complaints,
                env=self._environment(),
            )
            assert psql.stdin is not None, "it is a pipe"
            try:
                schemas = ", ".join(self._schemas)
                psql.stdin.write(
                    f"BEGIN; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL client_min_messages = 'warning';\n"
                    f"DROP SCHEMA IF EXISTS {schemas} CASCADE;\n".encode()
                )
                psql.stdin.flush()
                self._write_statements(file, psql.stdin)
                psql.stdin.write(b"COMMIT;\n")  # without this line, psql rolls back
                psql.stdin.flush()
            except BrokenPipeError:
                pass  # it has ended, and its complaint is read below
            except BaseException:
                psql.kill()  # its transaction is rolled back
                raise
            finally:
                with suppress(BrokenPipeError):
                    psql.stdin.close()
                code = psql.wait()
            complaints.seek(0)
            if code:
                raise BackupError(f"The backup cannot be put back; nothing was changed. {_summary(complaints.read())}")

    @cached_property
    def _server_version(self) -> int:
        with mapped_errors(), connect(self._parameters) as connection:
            return connection.info.server_version // 10_000

    def _write_statements(self, file: Path, to: Any) -> None:
        """Write the statements that make the schemas anew."""
        with tempfile.TemporaryFile() as complaints:
            command = [self._program("pg_restore"), "--no-owner", "--no-acl", "--file=-", str(file)]
            reading = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints)  # noqa: S603  as above
            with reading:
                assert reading.stdout is not None, "it is a pipe"
                shutil.copyfileobj(reading.stdout, to)
            complaints.seek(0)
            if reading.returncode:
                raise BackupDamaged(f"The backup cannot be read: {_summary(complaints.read())}")

    def _version(self, file: Path) -> int:
        """Return the schema version in a copy. Raises BackupDamaged, StoreIncompatible."""
        shown = subprocess.run(  # noqa: S603  as above
            [self._program("pg_restore"), "--file=-", "--data-only", "--table=agent_queue_migrations", str(file)],
            capture_output=True,
            check=False,
        )
        if shown.returncode:
            raise BackupDamaged(f"The copy of the database cannot be read: {_summary(shown.stderr)}")
        if not self._holds_queue:
            return 0
        if not (found := VERSIONS.search(shown.stdout.decode(errors="replace"))):
            raise BackupDamaged("The copy of the database has no queue")
        version = max(map(int, found[1].split()), default=0)
        check_version(version)
        return version

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program on the database. Raises BackupError with what it complains about."""
        done = subprocess.run(  # noqa: S603  as above
            [*self._command(program), *arguments], env=self._environment(), capture_output=True, check=False
        )
        if done.returncode:
            raise BackupError(_summary(done.stderr))

    def _command(self, program: str) -> list[str]:
        """Return the beginning of a command. It has no password, which every user of the host could see."""
        known: dict[str, Any] = conninfo_to_dict(self._parameters)
        known.pop("password", None)
        return [self._program(program), f"--dbname={make_conninfo(**known)}", "--no-password"]

    def _environment(self) -> dict[str, str]:
        password = conninfo_to_dict(self._parameters).get("password")
        return dict(os.environ) if password is None else {**os.environ, "PGPASSWORD": str(password)}

    def _program(self, name: str) -> str:
        """Return the path of a program that is at least as new as the server. Raises ProgramMissing."""
        server = self._server_version
        versions = sorted(INSTALLED.glob("[0-9]*"), key=lambda folder: int(re.sub(r"\D", "", folder.name) or 0))
        found = [shutil.which(name), *(str(folder / "bin" / name) for folder in versions)]
        old = ""
        for program in found:
            if program is None or not os.access(program, os.X_OK):
                continue
            command = [program, "--version"]
            told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  as above
            version = re.search(r"\) (\d+)", told)
            if version and int(version[1]) >= server:
                return program
            old = old or told.strip()
        got = f"got {old}" if old else "found none"
        raise ProgramMissing(
            f"{name}: expected version {server} or newer, as the server has, {got}. Install the package "
            f"postgresql-client-{server} (Debian, Ubuntu), or postgresql{server} (Red Hat)"
        )


def _has_others(connection: "psycopg.Connection[tuple[Any, ...]]") -> bool:
    """Return whether other sessions of ours use the database."""
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name IN (current_setting('application_name'), %s)",
        [MEMORY_NAME],
    ).fetchone()
    return bool(found and found[0])


def _exists(connection: "psycopg.Connection[Any]", table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])


def _summary(complaints: bytes) -> str:
    """Return the first error among what a program wrote, on one line."""
    lines = [line.strip() for line in complaints.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "FATAL" in line]
    return (errors or lines or ["The program gave no reason"])[0].rstrip(".")
