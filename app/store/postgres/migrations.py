"""Creates and migrates our schema. Refuses databases and servers that cannot be used."""

from typing import Any

import psycopg

from ...errors import ConfigurationError, StoreIncompatible
from ..schema_version import check_version
from ..sql.named_sql import load_migrations
from .connection import SCHEMA, configure, connect, mapped_errors
from .watchdog import Watchdog

OLDEST_SERVER = 140000
MIGRATION_LOCK = 4_707_202_611_240_001
"""Key of the advisory lock for migrations: one process migrates, the others wait."""

Connection = psycopg.Connection[tuple[Any, ...]]


LOCK_SECONDS = 30
"""Maximum wait for the migration of another process."""

POOLER_CHECKS = 3


def prepare_database(parameters: str, *, allow_volatile: bool) -> bool:
    """Check the server and migrate. Return whether commits survive a crash of the server.

    Raises ConfigurationError, StoreIncompatible, StoreUnavailable. With `allow_volatile`, a server may lose commits in
    a crash; otherwise it is refused.
    """
    with mapped_errors(), connect(parameters) as connection:
        with Watchdog.over(connection.fileno()):  # a hanging server does not enforce its own time-outs
            refuse_pooling(connection, parameters)
            configure(connection)
            connection.prepare_threshold = None
            durable = _check_server(connection, allow_volatile=allow_volatile)
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
            connection.execute("SET LOCAL lock_timeout = 0")
            _migrate(connection)
    return durable


def check_access(parameters: str) -> None:
    """Check that we can connect, and that each connection has a session of its own.

    Raises ConfigurationError, StoreUnavailable.
    """
    with mapped_errors(), connect(parameters) as connection, Watchdog.over(connection.fileno()):
        refuse_pooling(connection, parameters)


def refuse_pooling(connection: Connection, parameters: str) -> None:
    """Raise ConfigurationError if a pooler shares sessions among connections, or changes the session of a connection.

    A pooler reports an invented process id at the start of a connection. If the reported id is not the server's, a
    second connection is opened. Without a sharing pooler, the two connections always have two processes.
    """
    if connection.info.backend_pid == _process_of(connection):
        return
    with connect(parameters) as other:
        seen = [(_process_of(connection), _process_of(other)) for _ in range(POOLER_CHECKS)]
    ours, others = map(set, zip(*seen, strict=True))
    if len(ours) > 1 or len(others) > 1 or ours & others:
        raise ConfigurationError(
            "DATABASE_URL: expected a session of its own for each connection, got a pooler in transaction mode. Name "
            "the PostgreSQL server itself, or a pool in session mode (PgBouncer: pool_mode=session)."
        )


def _process_of(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])


def _value(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _check_server(connection: Connection, *, allow_volatile: bool) -> bool:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        raise StoreIncompatible(
            f"PostgreSQL {version // 10000} is too old: use a server of version {OLDEST_SERVER // 10000} or newer."
        )
    if (encoding := _value(connection, "SHOW server_encoding")) != "UTF8":
        raise StoreIncompatible(f"The database has the encoding {encoding}: name a database with ENCODING 'UTF8'.")
    for setting in ("fsync", "synchronous_commit"):
        if _value(connection, f"SHOW {setting}") == "off":
            if allow_volatile:
                return False
            raise StoreIncompatible(
                f"The server has {setting}=off, so a crash of it would lose accepted messages: switch it on, "
                "or set ALLOW_VOLATILE=true if they may be lost."
            )
    return True


def _migrate(connection: Connection) -> None:
    version = _version(connection)
    if version:
        check_version(version)
    for number, script in load_migrations("postgres"):
        if number > version:
            connection.execute(script)
            connection.execute("INSERT INTO agent_queue_migrations (number) VALUES (%s)", [number])


def _version(connection: Connection) -> int:
    """Return the number of the newest applied migration, 0 if none was. Creates the schema if there is none."""
    if _value(connection, f"SELECT to_regclass('{SCHEMA}.agent_queue_migrations')") is not None:
        return int(_value(connection, "SELECT coalesce(max(number), 0) FROM agent_queue_migrations"))
    if _value(connection, f"SELECT to_regnamespace('{SCHEMA}')") is None:
        _make_schema(connection)
    elif _value(connection, "SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace LIMIT 1"):
        raise StoreIncompatible(
            f"The schema {SCHEMA} of this database belongs to another program; name another database."
        )
    connection.execute("CREATE TABLE agent_queue_migrations (number INTEGER PRIMARY KEY)")
    return 0


def _make_schema(connection: Connection) -> None:
    try:
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
    except psycopg.errors.InsufficientPrivilege as error:
        raise StoreIncompatible(
            f"The user may not create the schema {SCHEMA}: "
            f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {connection.info.user}, "
            f"or CREATE SCHEMA {SCHEMA} AUTHORIZATION {connection.info.user}."
        ) from error
