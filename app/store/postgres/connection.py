"""Connects to PostgreSQL: settings and error mapping."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from ...errors import (
    ConfigurationError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TooFewConnections,
)

logger = logging.getLogger(__name__)

SCHEMA = "agent_queue"
STATEMENT_TIMEOUT_SECONDS = 5.0
LOCK_TIMEOUT_SECONDS = 2.0
DEFAULTS = {
    "application_name": "agent-queue",
    "connect_timeout": "4",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "5000",
    "client_encoding": "utf8",
    "target_session_attrs": "read-write",  # after a failover the old primary may still be there
}
"""Connection parameters, unless the URL has others."""

FIRST_SETTING = f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS:g}s'"
"""Sent alone: the previous timeout may be too short for all the other settings."""

COMMON_SETTINGS = """
SET client_encoding = 'UTF8';
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET bytea_output = 'hex';
SET extra_float_digits = 1;
SET standard_conforming_strings = on;
SET array_nulls = on;
SET transform_null_equals = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
SET idle_session_timeout = 0;
SELECT set_config('transaction_timeout', '0', FALSE) WHERE current_setting('transaction_timeout', TRUE) IS NOT NULL;
"""
"""Settings that our statements or the driver need, and that a role, a database or PGOPTIONS may have changed.
Administrators and providers stop writes with default_transaction_read_only, so it is left as it is."""

SETTINGS = f"""{COMMON_SETTINGS}
SET search_path = {SCHEMA};
SET lock_timeout = '{LOCK_TIMEOUT_SECONDS:g}s';
SET idle_in_transaction_session_timeout = '10s';
SET jit = off;
SET enable_indexscan = on;
SET enable_nestloop = on;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
"""
"""Every statement finds few rows by an index. PostgreSQL plans it once, perhaps while tables are empty or statistics
old. The settings rule out plans that are right for small tables only."""


PREPARE_THRESHOLD = 0
"""Number of times that a statement is run before the driver prepares it."""

REFUSALS = re.compile(
    r"password|authentication|does not exist|pg_hba\.conf|not permitted|permission denied|not currently accepting|"
    r"certificate|does not support SSL|unrecognized configuration parameter|invalid value for parameter|"
    r"invalid port number|definition of service",
    re.IGNORECASE,
)
"""Texts of errors that a later try would get again. The driver gives no error codes."""

CROWDED = re.compile("too many (clients|connections)|remaining connection slots", re.IGNORECASE)

FATAL = ("FATAL", "PANIC")
"""Severities with which the server ends the connection, whatever the error."""


class ReadOnly(StoreUnavailable):
    """The server accepts no writes now. A new connection may reach a server that does."""

    def __init__(self, detail: str = "PostgreSQL: the server takes no writes.") -> None:
        super().__init__(detail)


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn psycopg's errors into our own. Their texts show only host and user of the URL."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise StoreUnavailable("PostgreSQL: another session keeps rows locked for too long.") from error
    except psycopg.errors.DiskFull as error:
        raise StoreUnavailable("PostgreSQL: the disk is full; nothing was stored.") from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise ReadOnly from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreUnavailable(f"PostgreSQL: {error_text(error)}") from error
    except psycopg.Error as error:
        if error.diag.severity_nonlocalized in FATAL:
            raise StoreUnavailable(f"PostgreSQL: {error_text(error)}") from error
        raise StoreError(f"PostgreSQL: {error_text(error)}") from error


def error_text(error: psycopg.Error) -> str:
    """Return the text of an error from the server or the driver, on one line. The text never contains a password."""
    return error.diag.message_primary or _on_one_line(str(error)) or type(error).__name__


def _on_one_line(text: str) -> str:
    """Join the lines of a text as sentences: libpq breaks lines where a sentence ends."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    ended = [line if line[-1] in ".:;,?!" else f"{line}." for line in lines[:-1]]
    return " ".join([*ended, *lines[-1:]])


def connection_parameters(url: str) -> str:
    """Return the URL in libpq's form, with our defaults. Raises ConfigurationError."""
    _, _, rest = url.partition("://")
    authority, *_ = re.split("[/?]", rest, maxsplit=1)
    try:
        given: dict[str, Any] = {**DEFAULTS, **conninfo_to_dict(url)}
        readable = rest.count("@") == authority.count("@") <= 1 and re.fullmatch(r"[\d,]*", str(given.get("port", "")))
    except psycopg.Error:
        readable = False
    if not readable:  # show none of it: an apparent host or port may belong to the password
        raise ConfigurationError(
            "DATABASE_URL: expected postgresql://user:password@host:port/database with special characters "
            "percent-encoded, got one that cannot be read"
        )
    return make_conninfo(**given)


def connect(parameters: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """Return a new connection, without our settings. Raises StoreUnavailable."""
    try:
        return psycopg.connect(parameters, autocommit=True, prepare_threshold=PREPARE_THRESHOLD)
    except psycopg.OperationalError as error:
        text = error_text(error)
        kind = (
            TooFewConnections if CROWDED.search(text) else StoreRefused if REFUSALS.search(text) else StoreUnavailable
        )
        raise kind(
            f"PostgreSQL cannot be used: {text} (Check that it runs and accepts connections, and host, port, "
            "database, user and password of DATABASE_URL.)"
        ) from error


def configure(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """Apply our settings to a new connection.

    Lists are sent in binary form. In text form, psycopg escapes each string character by character under Python's lock.
    For megabytes this blocks all other threads for a second.
    """
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(int, Int8Dumper)  # for single numbers
    connection.adapters.register_dumper(list, ListBinaryDumper)
    connection.execute(FIRST_SETTING.encode(), prepare=False)
    connection.execute(SETTINGS, prepare=False)
