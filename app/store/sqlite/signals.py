"""Sends hints to other processes on the same file, as rows. Each process reads new rows after another has written."""

import asyncio
import contextlib
import json
import threading
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import apsw
from typing_extensions import override

from ...errors import StoreError
from ...observability.outages import hints_outage
from ..signals import LocalNotifier
from ..sql.group_commit import AwaitedThread
from .changes import Changes, Writing
from .connection import Writer, connect, mapped_errors
from .limits import Limiting
from .running import Releasing

HINT_POLL_SECONDS = 0.003
"""Interval at which a process checks for writes of others. A check takes 30 µs; all checks take 1 % of a core."""

LISTEN_AGAIN_SECONDS = 1.0


class Hints:
    """Wakes the subscribers of topics that a transaction has touched, in this process and through rows in others."""

    def __init__(self, path: Path, queries: Mapping[str, str], notifier: LocalNotifier, *, shared: bool) -> None:
        self._path = path
        self._queries = queries
        self._notifier = notifier
        self._shared = shared
        self._process = uuid.uuid4().hex
        self._closing = threading.Event()
        self._listener: AwaitedThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake subscribers in this event loop from now on."""
        self._loop = loop

    def listen(self) -> None:
        """Start to listen for hints of other processes, unless no other process can use the file."""
        if self._shared and self._loop is not None:
            listener = AwaitedThread(self._loop, partial(self._listen, self._loop), name="sqlite-hints")
            listener.start()
            self._listener = listener

    def ask_to_stop(self) -> None:
        """Tell the listener to end."""
        self._closing.set()

    async def join(self) -> None:
        """Wait for the end of the listener."""
        if self._listener is not None:
            await self._listener.ended()

    def store(self, writes: "HintWrites") -> None:
        """Store the touched topics as a row for other processes. Called in the writing transaction."""
        if writes.touched and self._shared:
            writes.add_hints(self._process)

    def publish(self, writes: "HintWrites") -> None:
        """Wake the subscribers in this process. Called after the commit, in the writing thread."""
        if writes.touched and self._loop is not None:
            topics = tuple(writes.touched)
            writes.touched.clear()
            with contextlib.suppress(RuntimeError):  # the event loop is closed and has no subscribers
                self._loop.call_soon_threadsafe(self._notifier.publish, *topics)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Publish the hints of other processes, in a thread with its own connection. No error of the store ends it."""
        outage = hints_outage()
        while not self._closing.is_set():
            try:
                with mapped_errors():
                    connection = connect(self._path)
                    outage.works("listen")
                    self._listen_on(connection, loop)
            except StoreError as error:
                outage.fails("listen", "Listening for hints failed, trying again: %s", error)
                self._closing.wait(LISTEN_AGAIN_SECONDS)

    def _listen_on(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.closing(connection), contextlib.suppress(RuntimeError):  # the event loop is closed
            seen_version, seen_hint = -1, connection.execute(self._queries["last_hint"]).get
            while not self._closing.wait(HINT_POLL_SECONDS):
                version = connection.execute("PRAGMA data_version").get
                if version == seen_version:
                    continue
                seen_version = version
                topics: set[str] = set()
                hints = connection.execute(self._queries["read_hints"], {"after": seen_hint}).fetchall()
                for number, process, text in hints:
                    seen_hint = number
                    if process != self._process:
                        topics.update(json.loads(str(text)))
                if topics:
                    loop.call_soon_threadsafe(self._notifier.publish, *topics)


class HintWrites(Changes):
    """Writes hints, inside a transaction."""

    def add_hints(self, process: str) -> None:
        """Store the topics that this transaction touched, under the name of this process.

        The table keeps up to about 6,000 rows.
        """
        self.execute("add_hint", process=process, topics=json.dumps(sorted(self.touched)))
        number = self._connection().last_insert_rowid()
        if number % 1_000 == 0:
            self.execute("prune_hints", before=number - 5_000)


class HintingWriter(Writer):
    """A writer that counts against limits and stores hints in the transaction of a batch.

    It publishes the hints after the commit.
    """

    def __init__(self, path: Path, hints: Hints, *, durable: bool) -> None:
        super().__init__(path, durable=durable)
        self._hints = hints
        self._writes: HintWrites | None = None
        self._limiting: Limiting | None = None
        self._releasing: Releasing | None = None

    def share(self, writing: Writing) -> None:
        """Store what the writers over this connection count, and hints for the topics that they touch."""
        self._writes = HintWrites(writing)
        self._limiting = Limiting(writing)
        self._releasing = Releasing(writing)

    @override
    def after_begin(self) -> None:
        if self._limiting is not None:
            self._limiting.begin_counting()
        if self._releasing is not None:
            self._releasing.forget_freed()

    @override
    def before_commit(self) -> None:
        if self._limiting is not None:
            self._limiting.write_counted()
        if self._releasing is not None:
            self._releasing.release_freed()
        if self._writes is not None:
            self._hints.store(self._writes)

    @override
    def after_commit(self) -> None:
        if self._writes is not None:
            self._hints.publish(self._writes)
