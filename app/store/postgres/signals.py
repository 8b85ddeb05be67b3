"""Sends hints to other processes by NOTIFY, and receives theirs by LISTEN."""

import asyncio
import contextlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator

from typing_extensions import override

from ...errors import StoreError
from ...observability.outages import hints_outage
from ..signals import LocalNotifier
from ..sql.group_commit import BatchRunner, GroupCommitThread, Operation, Result
from .session import Session, step

logger = logging.getLogger(__name__)

PAYLOAD_LENGTH = 7_500
"""Maximum length of the topics; a notification may have 8,000 bytes."""

LISTEN_AGAIN_SECONDS = 0.5
LISTEN_SECONDS = 1.0
"""Interval at which the listener checks whether to end, if no notification wakes it."""


def payloads(process: str, topics: Iterable[str]) -> Iterator[str]:
    """Yield payloads for all topics: JSON arrays of the sender and some topics, each within PAYLOAD_LENGTH."""
    gathered = [process]
    length = 0
    for topic in sorted(topics):
        text_length = len(json.dumps(topic)) + 2
        if length + text_length > PAYLOAD_LENGTH:
            yield json.dumps(gathered)
            gathered, length = [process], 0
        gathered.append(topic)
        length += text_length
    yield json.dumps(gathered)


def _read(payload: str) -> tuple[str, list[str]]:
    """Return sender and topics of a payload; both are empty for a foreign payload. Any role may notify any channel."""
    try:
        received = json.loads(payload)
    except (ValueError, RecursionError):
        return "", []
    if not isinstance(received, list) or not received or not all(isinstance(each, str) for each in received):
        return "", []
    return received[0], received[1:]


class HintSender(BatchRunner):
    """Sends hints. Hints that gather during one notification go into the next one.

    The sender has a connection of its own and sends after the commit. A transaction that notifies holds a lock of the
    whole server while it commits. Notifying in each insert's transaction would nearly halve the throughput.
    """

    def __init__(self, session: Session, process: str) -> None:
        self._session = session
        self._process = process

    @override
    def open(self) -> None:
        pass  # the session connects when there is work

    @override
    def close(self) -> None:
        self._session.close()

    @override
    def run(self, batch: list[Operation]) -> list[Result]:
        # A hint that cannot be sent is lost. Its receivers also poll.
        topics: set[str] = set().union(*(operation.work for operation in batch))
        try:
            with self._session.statement():
                self._session.run_all(*(step("notify", payload=each) for each in payloads(self._process, topics)))
        except StoreError as error:
            logger.debug("Hints to other processes were lost: %s", error)
        return [Result(operation.future, None, None) for operation in batch]

    @override
    def end(self) -> None:
        """Do nothing: a notification is a transaction of its own."""


class Listener:
    """Publishes the hints of other processes, in a thread with its own connection. No error ends the thread."""

    def __init__(self, session: Session, process: str, publish: Callable[[list[str]], None]) -> None:
        self._session = session
        self._process = process
        self._publish = publish
        self._outage = hints_outage()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._listen, name="postgres-hints", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tell the thread to end at the next notification, whatever its topic."""
        self._closing.set()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    def _listen(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._pass_on()
                except Exception as error:  # go on listening after any error
                    if isinstance(error, StoreError):
                        self._outage.fails("listen", "Listening for hints failed, trying again: %s", error)
                    else:
                        logger.warning("Listening for hints failed, trying again: %s", error, exc_info=True)
                    self._closing.wait(LISTEN_AGAIN_SECONDS)
        finally:
            self._session.close()

    def _pass_on(self) -> None:
        with self._session.statement():
            self._session.rows("listen")
            self._outage.works("listen")
            while not self._closing.is_set():
                for payload in self._session.notifications(LISTEN_SECONDS):
                    sender, topics = _read(payload)
                    if topics and sender != self._process:
                        self._publish(topics)
                    if self._closing.is_set():
                        return


class Hints:
    """Wakes the subscribers of topics that a transaction has touched, in this process and in others."""

    def __init__(self, notifier: LocalNotifier, make_session: Callable[[], Session]) -> None:
        process = uuid.uuid4().hex
        self._notifier = notifier
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending_thread = GroupCommitThread("postgres-notify", HintSender(make_session(), process))
        self._listener = Listener(make_session(), process, self._receive)

    async def open(self) -> None:
        """Wake subscribers in this event loop, and hint other processes, from now on."""
        self._loop = asyncio.get_running_loop()
        await self._sending_thread.open()

    def listen(self) -> None:
        """Start to listen for hints of other processes."""
        self._listener.start()

    async def close(self) -> None:
        """Send the remaining hints and end the threads."""
        self._listener.ask_to_stop()
        if self._sending_thread.is_open:
            await self._sending_thread.submit({"closing"})
        await self._sending_thread.close()
        await asyncio.to_thread(self._listener.join)

    def publish(self, topics: Collection[str]) -> None:
        """Wake the subscribers in this process, then in others. Called after a commit, in the thread that committed."""
        if topics:
            self._in_loop(self._spread, frozenset(topics))

    def _receive(self, topics: list[str]) -> None:
        self._in_loop(lambda received: self._notifier.publish(*received), topics)

    def _spread(self, topics: Collection[str]) -> None:
        self._notifier.publish(*topics)
        if self._sending_thread.is_open:
            self._sending_thread.submit(topics)

    def _in_loop(self, call: Callable[[Collection[str]], None], topics: Collection[str]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed and has no subscribers
                self._loop.call_soon_threadsafe(call, topics)
