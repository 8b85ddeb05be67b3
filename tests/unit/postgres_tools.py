"""Tools for tests of the PostgreSQL store: stores on databases, and a wire that can be cut."""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
import pytest

from app.errors import AgentQueueError
from app.store.postgres.store import PostgresStore
from tests.clock import ManualClock


@asynccontextmanager
async def opened(url: str, clock: ManualClock | None = None, **options: Any) -> AsyncIterator[PostgresStore]:
    """An open store on this database, closed on leaving."""
    store = PostgresStore(url, clock=clock, **{"allow_volatile": True, **options})
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def refused(url: str, error: type[AgentQueueError], **options: Any) -> str:
    """Open a store that must not open; the error's text."""
    with pytest.raises(error) as raised:
        async with opened(url, **options):
            pass
    return str(raised.value)


@contextmanager
def connected(url: str) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
    """Another client, which sees our tables."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=agent_queue") as connection:
        yield connection


def ask(url: str, query: str) -> Any:
    """Return the first column of the first row that another client gets."""
    with connected(url) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def tell(url: str, query: str) -> None:
    """Have another client do something."""
    with connected(url) as connection:
        connection.execute(query)


Cut = Callable[[bytes], bool]


class Wire:
    """A TCP proxy before the server. It closes both ends instead of passing on what a predicate is true of."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.cut_request: Cut = lambda _: False
        self.cut_answer: Cut = lambda _: False
        self.cuts = 0
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Close everything."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._close(*self._ends)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._ends += [client, server]
                for ends in ((client, server, True), (server, client, False)):
                    self._threads.append(threading.Thread(target=self._pass_on, args=ends, daemon=True))
                    self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if (self.cut_request if is_request else self.cut_answer)(data):
                    self.cuts += 1
                    break
                target.sendall(data)
        self._close(source, target)

    @staticmethod
    def _close(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to the server, closed on leaving."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
