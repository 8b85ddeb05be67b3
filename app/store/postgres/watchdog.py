"""Ends the wait for a server that hangs.

If the server is frozen, its disk is stuck or its standby is away, its kernel still acknowledges what we send. Neither
TCP settings nor timeouts that the server enforces end such a wait. Only this process can.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

EXCHANGE_SECONDS = 8.0
"""Maximum wait for an answer, longer than the server's own limit for a statement."""

CHECK_SECONDS = 0.5


class WatchedSocket:
    """The socket of one connection. When an answer takes too long, the socket is shut down and the wait raises."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))  # a copy: the driver may close its socket at any time
        self._lock = threading.Lock()
        self._waiting = False
        self._checks = 0

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Watch the socket while something is sent and its answer is awaited."""
        with self._lock:
            self._waiting, self._checks = True, 0
        try:
            yield
        finally:
            with self._lock:
                self._waiting = False

    def check(self) -> None:
        """Count a check. Shut the socket down if the checks during one exchange add up to EXCHANGE_SECONDS.

        Checks are counted, since elapsed time would include time in which this process was suspended.
        """
        with self._lock:
            self._checks += 1
            if self._waiting and self._checks * CHECK_SECONDS > EXCHANGE_SECONDS:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._socket.close()


class Watchdog:
    """Checks all sockets of a store, in one thread."""

    def __init__(self) -> None:
        self._sockets: set[WatchedSocket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    @contextmanager
    def over(cls, descriptor: int) -> Iterator[Self]:
        """Watch one connection until the context is left. All its exchanges together may take EXCHANGE_SECONDS."""
        watchdog = cls()
        watched = watchdog.watch(descriptor)
        watchdog.start()
        try:
            with watched.exchange():
                yield watchdog
        finally:
            watchdog.stop()
            watchdog.forget(watched)

    def start(self) -> None:
        """Start checking."""
        self._thread = threading.Thread(target=self._work, name="postgres-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def watch(self, descriptor: int) -> WatchedSocket:
        """Watch a new connection's socket. Return the watched socket."""
        watched = WatchedSocket(descriptor)
        with self._lock:
            self._sockets.add(watched)
        return watched

    def forget(self, watched: WatchedSocket) -> None:
        """Stop watching a socket whose connection is gone."""
        with self._lock:
            self._sockets.discard(watched)
        watched.close()

    def _work(self) -> None:
        while not self._stopping.wait(CHECK_SECONDS):
            with self._lock:
                sockets = tuple(self._sockets)
            for watched in sockets:
                watched.check()
