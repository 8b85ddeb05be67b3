"""Connections to the PostgreSQL database of the agents' memory."""

import select
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..errors import StoreError, StoreUnavailable, TooFewConnections
from ..store.postgres.connection import COMMON_SETTINGS, CROWDED, connection_parameters
from .postgres_lists import QUERIES, Connection

MAX_CONNECTIONS = 8
WAIT_SECONDS = 3
"""How long to wait for a connection while all are in use, or while the server is unavailable."""
RECONNECT_SECONDS = 2
"""How long the pool retries by itself. After that, it retries at the next request for a connection."""
STATEMENT_SECONDS = 10
"""The server cancels a statement after this time, including waits for locks. The message is then retried."""


def make_pool(url: str) -> AsyncConnectionPool[Connection]:
    """Return a pool for this database. It opens connections when they are needed."""
    return AsyncConnectionPool(
        connection_parameters(url),
        kwargs={"autocommit": True, "row_factory": dict_row, "application_name": "agent-queue-memory"},
        configure=_configure,
        reset=_reset,
        check=_check,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        timeout=WAIT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        name="checkpoints",
        open=False,
    )


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Raise this program's errors in place of psycopg's."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, errors.ReadOnlySqlTransaction) as error:
        kind = TooFewConnections if CROWDED.search(str(error)) else StoreUnavailable
        raise kind(f"The agents' memory cannot be used: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable("The agents' memory cannot be used: the server does not answer") from error
    except psycopg.Error as error:
        raise StoreError(f"The agents' memory: {error}") from error


async def _configure(connection: Connection) -> None:
    await connection.execute(f"SET statement_timeout TO '{STATEMENT_SECONDS}s'".encode())
    await connection.execute(f"{COMMON_SETTINGS}{QUERIES['settings']}".encode())


async def _check(connection: Connection) -> None:
    """Check a connection if the server has sent unrequested data or closed it. A check costs a round trip."""
    incoming = select.poll()
    incoming.register(connection.pgconn.socket, select.POLLIN)
    if incoming.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _reset(connection: Connection) -> None:
    """Do nothing; the pool has rolled back already. With a reset function, the pool returns connections in new tasks.

    Without a reset function, it returns a connection in the run's task. If the run is cancelled meanwhile, the
    connection is lost.
    """
