"""A pooler before a PostgreSQL server, as PgBouncer is one: each transaction, or each client, gets a session."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

NO_TLS = (80877103, 80877104)
STARTUP = struct.pack("!I", 196608) + b"user\0postgres\0database\0%s\0\0"
MADE_UP_KEY = b"K" + struct.pack("!III", 12, 7, 7)


class Backend:
    """A session of the server."""

    def __init__(self, port: int, database: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")
        startup = STARTUP % database.encode()
        self.socket.sendall(struct.pack("!I", len(startup) + 4) + startup)
        self.greeting = b""
        while (message := read_message(self.stream))[:1] != b"Z":
            self.greeting += message if message[:1] == b"S" else b""

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class Pooler:
    """Listens on `port` until it is closed."""

    def __init__(self, server_port: int, database: str, *, by_transaction: bool) -> None:
        self._server_port = server_port
        self._database = database
        self._by_transaction = by_transaction
        self._idle: list[Backend] = []
        self._backends: list[Backend] = []
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        """Close all connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for backend in self._backends:
            backend.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._clients.append(client)
                self._start(self._serve, client)

    def _take(self) -> Backend:
        """The session that was given back last, as PgBouncer has it."""
        if not self._idle:
            self._backends.append(Backend(self._server_port, self._database))
            self._idle.append(self._backends[-1])
        return self._idle.pop()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client, client.makefile("rb") as stream:
            while struct.unpack("!I", read_startup(stream)[:4])[0] in NO_TLS:
                client.sendall(b"N")
            backend = self._take()
            greeting = b"R" + struct.pack("!II", 8, 0) + backend.greeting + MADE_UP_KEY
            client.sendall(greeting + b"Z" + struct.pack("!I", 5) + b"I")
            if self._by_transaction:
                self._idle.append(backend)
            in_transaction = False
            while (message := read_message(stream))[:1] != b"X":
                if self._by_transaction and not in_transaction:
                    backend = self._take()
                in_transaction = self._pass_on(client, stream, backend, message)
                if self._by_transaction and not in_transaction:
                    self._idle.append(backend)

    @staticmethod
    def _pass_on(client: socket.socket, stream: BinaryIO, backend: Backend, message: bytes) -> bool:
        """Messages up to the end of an exchange, and their answers; whether a transaction is open after it."""
        while True:
            backend.socket.sendall(message)
            if message[:1] in (b"Q", b"S"):
                break
            message = read_message(stream)
        while True:
            answer = read_message(backend.stream)
            client.sendall(answer)
            if answer[:1] == b"Z":
                return answer[5:6] != b"I"


def read_message(stream: BinaryIO) -> bytes:
    """A message with its kind and length. Raises EOFError."""
    head = stream.read(5)
    if len(head) < 5:
        raise EOFError
    return bytes(head + stream.read(struct.unpack("!I", head[1:])[0] - 4))


def read_startup(stream: BinaryIO) -> bytes:
    """The first message of a client, without its length. Raises EOFError."""
    head = stream.read(4)
    if len(head) < 4:
        raise EOFError
    return bytes(stream.read(struct.unpack("!I", head)[0] - 4))


@contextlib.contextmanager
def pooler(server_port: int, database: str, *, by_transaction: bool) -> Iterator[str]:
    """The URL of a pooler that is closed on leaving."""
    pool = Pooler(server_port, database, by_transaction=by_transaction)
    try:
        yield f"postgresql://postgres@127.0.0.1:{pool.port}/{database}"
    finally:
        pool.close()
