"""An end to the wait for a server that hangs.

Where the server is frozen, its disk is stuck or its standby is away, its kernel still acknowledges what we send: the
settings of TCP end no wait, nor does a timeout that the server itself has to keep. Only this end can.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

EXCHANGE_SECONDS = 8.0
"""How long an answer is waited for: longer than the server may take for a statement."""

LOOK_SECONDS = 0.5


class Line:
    """The socket of one connection, which is cut when an answer takes too long: whoever waits gets an error."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))  # our own: the driver may close its at any time
        self._lock = threading.Lock()
        self._waiting = False
        self._looks = 0

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """While something is sent and its answer is waited for."""
        with self._lock:
            self._waiting, self._looks = True, 0
        try:
            yield
        finally:
            with self._lock:
                self._waiting = False

    def look(self) -> None:
        """Cut the line at the last look.

        Looks are counted, not time: a process that was stopped itself finds its answer waiting when it goes on.
        """
        with self._lock:
            self._looks += 1
            if self._waiting and self._looks * LOOK_SECONDS > EXCHANGE_SECONDS:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket."""
        with self._lock:
            self._socket.close()


class Watchdog:
    """One thread that looks at all lines of a store."""

    def __init__(self) -> None:
        self._lines: set[Line] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    @contextmanager
    def over(cls, descriptor: int) -> Iterator[Self]:
        """Watch one connection, all of whose exchanges together take no longer than one may."""
        watchdog = cls()
        line = watchdog.watch(descriptor)
        watchdog.start()
        try:
            with line.exchange():
                yield watchdog
        finally:
            watchdog.stop()
            watchdog.forget(line)

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._work, name="postgres-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, descriptor: int) -> Line:
        """The line of a new connection."""
        line = Line(descriptor)
        with self._lock:
            self._lines.add(line)
        return line

    def forget(self, line: Line) -> None:
        """The connection is gone."""
        with self._lock:
            self._lines.discard(line)
        line.close()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                lines = tuple(self._lines)
            for line in lines:
                line.look()
