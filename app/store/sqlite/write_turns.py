"""Lets the writers of one SQLite file take turns, across threads and processes.

SQLite's write lock has no queue. A writer that begins its next transaction at once has the lock again before those who
wait look for it. A heartbeat of another process then waits for more than a hundred transactions, and a writer until its
timeout. Therefore those who have waited for long lock a file beside the database: the next turn is theirs. All others
wait until this file is free before they begin. Writers do not ask for a turn at once, since each change of the writer
costs a pause.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = "-turn"
"""The end of the name of the file whose lock is the turn. The file stays empty."""

TURN_TIMEOUT_SECONDS = 0.5
"""How long a writer waits for its turn. Then it goes on without: the process that has the turn may be stopped."""

BUSY_TIMEOUT_MILLISECONDS = 5_000

BeginWithin = Callable[[int], bool]
"""Tries for some milliseconds to begin a transaction that writes. Returns False if another one is still under way.

The queue's file and the agents' memory are opened with different libraries.
"""


class WriteTurns:
    """The turns of one connection. Each connection needs an object of its own.

    It asks for its turn after `patience_milliseconds`, and then tries for the locks every `retry_seconds`.
    """

    def __init__(self, path: Path, *, patience_milliseconds: int, retry_seconds: float) -> None:
        self._path = path.with_name(path.name + SUFFIX)
        self._patience_milliseconds = patience_milliseconds
        self._retry_seconds = retry_seconds
        self._file: int | None = None

    def open(self) -> None:
        """Open the file, which is created if it is missing. Raises OSError."""
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def begin(self, begin_within: BeginWithin) -> bool:
        """Begin a transaction that writes. Return False if there was no way to for BUSY_TIMEOUT_MILLISECONDS."""
        if self._patience_milliseconds:
            with self._turn():
                pass  # those who have the turn go first
            if begin_within(self._patience_milliseconds):
                return True
        with self._turn():
            deadline = time.monotonic() + BUSY_TIMEOUT_MILLISECONDS / 1000
            while not begin_within(0):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(self._retry_seconds)
        return True

    @contextmanager
    def _turn(self) -> Iterator[None]:
        deadline = time.monotonic() + TURN_TIMEOUT_SECONDS
        while not (taken := self._take()) and time.monotonic() < deadline:
            time.sleep(self._retry_seconds)
        try:
            yield
        finally:
            if taken and self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self) -> bool:
        assert self._file is not None, "used before open"
        with suppress(BlockingIOError):
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False
