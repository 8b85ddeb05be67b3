"""The store on one SQLite file: a writing lane, two reading lanes, a heart for each worker, hints between processes.

What is read all the time has a lane of its own, so that it never waits for a list.

The same code serves `memory://`, on a private temporary file whose commits never wait for a disk.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import tempfile
import threading
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import apsw

from ...clock import Clock, SteadyClock, to_datetime
from ...errors import StoreError
from ...models.attempts import Beat, Claim, FailedAttempt, Lease, Outcome
from ...models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryRecord
from ...models.events import EventPage, NewEvent
from ...models.messages import (
    Accepted,
    DeadLetterGroup,
    Message,
    MessageFilter,
    NewMessage,
    Page,
    Priority,
    QueueSummary,
    RequestKey,
    Thread,
)
from ...models.workers import Throughput, Worker
from ...observability.outages import hints_outage
from ...policy.rank import RankPolicy
from ..group_commit import GroupCommitThread, joined
from ..local_notifier import LocalNotifier
from ..named_sql import load_queries
from ..parts import (
    EVENTS_AT_ONCE,
    Cleared,
    Settling,
    ThreadKey,
    asks_of_thread,
    clear,
    delete_dropped,
    prune,
    repeat,
)
from ..ports import MAX_CRASHES, Capabilities, LeaseRenewer, Subscription
from ..scanning import scan
from ..terminal_states import events_size, outcome_size
from .changes import SqliteReads
from .connection import Beats, Reader, Writer, connect, look_often, mapped_errors
from .operations import PRUNE_BATCH, Writes
from .running import BATCH, PROMOTE_BATCH

logger = logging.getLogger(__name__)

HINT_POLL_SECONDS = 0.003
"""How often a process looks whether another one wrote. A look costs 30 µs, all of them 1 % of a core."""

LISTEN_AGAIN_SECONDS = 1.0

DURABLE = Capabilities("sqlite", durable=True, promise="messages survive kill -9, a crash of the host and power loss")
VOLATILE = Capabilities("memory", durable=False, promise="no message survives the end of this process")


class SqliteStore:
    """Meets `app.store.ports.Store`. With `path` None, on a temporary file of its own."""

    def __init__(self, path: Path | None, *, ranks: RankPolicy | None = None, clock: Clock | None = None) -> None:
        self._process = uuid.uuid4().hex
        self._folder = Path(tempfile.gettempdir(), f"agent-queue-{self._process}") if path is None else None
        self._path = path if self._folder is None and path is not None else Path(str(self._folder)) / "queue.db"
        self._clock = clock or SteadyClock()
        self._queries = load_queries("sqlite")
        self._ranks = ranks or RankPolicy()
        self._notifier = LocalNotifier()
        self._beats = Beats()
        self._writer = _HintingWriter(self, self._path, self._beats, durable=path is not None)
        self._reader = Reader(self._path)
        self._writes = self._make_writes(lambda: self._writer.connection)
        self._reads = SqliteReads(lambda: self._reader.connection, self._queries)
        self._list_reader = Reader(self._path)
        self._lists = SqliteReads(lambda: self._list_reader.connection, self._queries)
        self._write_thread = GroupCommitThread("sqlite-writer", self._writer)
        self._read_thread = GroupCommitThread("sqlite-reader", self._reader)
        self._list_thread = GroupCommitThread("sqlite-lists", self._list_reader)
        self._settling = Settling(lambda place: self._write_thread.run(lambda: self._writes.settle(place)))
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        return VOLATILE if self._folder else DURABLE

    # Life

    async def open(self) -> None:
        """See `Store.open`."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._write_thread.open()
            await self._read_thread.open()
            await self._list_thread.open()
            await self._read_clock()
        except BaseException:
            await self.close()
            raise
        if self.capabilities.durable:
            self._listener = threading.Thread(target=self._listen, args=(self._loop,), name="sqlite-hints", daemon=True)
            self._listener.start()

    async def close(self) -> None:
        """See `Store.close`."""
        self._closing.set()
        await self._write_thread.close()
        await self._read_thread.close()
        await self._list_thread.close()
        if self._listener is not None:
            await joined(self._listener)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def queue_id(self) -> str:
        """See `Store.queue_id`."""
        return await self._read_thread.run(self._reads.queue_id)

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._write_thread.run(lambda: None, durable=False)

    def now(self) -> datetime:
        """See `AcceptStore.now`."""
        return to_datetime(self._clock.now())

    # Messages

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """See `AcceptStore.add`."""

        def clear_part(threads: Sequence[ThreadKey]) -> Awaitable[Cleared]:
            return self._write_thread.run(lambda: self._writes.clear(threads, len(new), max_queued, key))

        cleared = await clear(new, clear_part) if asks_of_thread(new) else {}
        accepted = await self._write_thread.run(lambda: self._writes.add(new, max_queued, key, cleared))
        if self._writes.unsettled:
            await self._settling.complete(self._writes.unsettled, accepted.messages)
        return accepted

    async def get(self, tenant: str, message_id: str) -> Message:
        """See `QueryStore.get`."""
        return await self._read_thread.run(lambda: self._reads.message(tenant, message_id))

    async def list_messages(self, tenant: str, chosen: MessageFilter, page: Page) -> list[Message]:
        """See `QueryStore.list_messages`."""
        return await scan(lambda look: self._list_thread.run(lambda: self._lists.look(tenant, chosen, look)), page)

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """See `QueryStore.get_head`."""
        return await self._read_thread.run(lambda: self._reads.head(tenant, thread_id))

    async def cancel(self, tenant: str, message_id: str, *, running: bool = False) -> Message:
        """See `ControlStore.cancel`."""
        cancelled = await self._write_thread.run(lambda: self._writes.cancel(tenant, message_id, running))
        await self._settling.complete(self._writes.unsettled, [cancelled])
        return cancelled

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """See `ControlStore.reprioritize`."""
        message = await self._write_thread.run(lambda: self._writes.reprioritize(tenant, message_id, priority))
        await self._settling.complete(self._writes.unsettled, [message])
        return message

    async def resume(
        self, tenant: str, message_id: str, fence: int, value: str, *, key: RequestKey | None = None
    ) -> Accepted:
        """See `ControlStore.resume`."""
        return await self._write_thread.run(lambda: self._writes.resume(tenant, message_id, fence, value, key))

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """See `ControlStore.requeue`."""
        ids = list(dict.fromkeys(message_ids))
        given = {each.id: each for each in await self._list_thread.run(lambda: self._lists.messages(tenant, ids))}
        messages = await self._write_thread.run(lambda: self._writes.requeue(tenant, ids, given))
        await self._settling.complete(self._writes.unsettled, messages)
        await delete_dropped(self._delete_dropped_events)
        return await self._list_thread.run(lambda: self._lists.with_places(messages))

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """See `ControlStore.purge`."""
        ids = list(dict.fromkeys(message_ids))
        keys = await self._write_thread.run(lambda: self._writes.purge(tenant, ids))
        await delete_dropped(self._delete_dropped_events)
        return keys

    async def _delete_dropped_events(self) -> int:
        return await self._write_thread.run(self._writes.delete_dropped_events, durable=False)

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """See `QueryStore.list_attempts`."""
        return await self._list_thread.run(lambda: self._lists.attempts(tenant, message_ids))

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """See `QueryStore.group_dead_letters`."""
        return await self._list_thread.run(lambda: self._lists.dead_letter_groups(tenant, limit))

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """See `QueryStore.summary`."""
        return await self._list_thread.run(lambda: self._lists.summary(tenant, limit))

    async def pause(self, paused: bool) -> None:
        """See `ControlStore.pause`."""
        await self._write_thread.run(lambda: self._writes.pause(paused))

    async def throughput(self) -> Throughput:
        """See `QueryStore.throughput`."""
        return await self._read_thread.run(self._reads.throughput)

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """See `AttemptStore.claim`."""
        return await self._write_thread.run(lambda: self._writes.claim(worker_id, agents, limit, lease_seconds))

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `AttemptStore.finish`."""
        await self._write_thread.run(lambda: self._writes.finish(lease, outcome), size=outcome_size(outcome))

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """See `UpkeepStore.rescue`."""
        await self._read_clock()
        return await repeat(lambda: self._write_thread.run(lambda: self._writes.rescue(max_crashes)), BATCH)

    async def promote(self) -> int:
        """See `UpkeepStore.promote`."""
        await self._read_clock()
        return await repeat(lambda: self._write_thread.run(self._writes.promote), PROMOTE_BATCH)

    async def expire_interrupts(self) -> int:
        """See `UpkeepStore.expire_interrupts`."""
        return await repeat(lambda: self._write_thread.run(self._writes.expire_interrupts), BATCH)

    async def prune_keys(self) -> None:
        """See `UpkeepStore.prune_keys`."""
        await self._write_thread.run(self._writes.prune_keys, durable=False)

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_logs`."""
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._write_thread.run(lambda: self._writes.prune_logs(age, size), durable=False)

        return await prune(prune_part, limit, PRUNE_BATCH)

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_messages`."""
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._write_thread.run(lambda: self._writes.prune_messages(age, size), durable=False)

        pruned = await prune(prune_part, limit, PRUNE_BATCH)
        await repeat(self._delete_dropped_events, EVENTS_AT_ONCE)
        return pruned

    # Event log

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`. Token rows do not wait for the disk: the finish that follows makes them durable."""
        return await self._write_thread.run(
            lambda: self._writes.append(lease, events), durable=False, size=events_size(events)
        )

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """See `EventLog.read`."""
        return await self._read_thread.run(lambda: self._reads.read_log(tenant, message_id, after, limit))

    # Threads

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """See `QueryStore.list_threads`."""
        return await self._list_thread.run(lambda: self._lists.threads(tenant, page))

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """See `QueryStore.get_thread`."""
        return await self._read_thread.run(lambda: self._reads.thread(tenant, thread_id))

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """See `QueryStore.list_thread_messages`."""
        return await self._list_thread.run(lambda: self._lists.thread_messages(tenant, thread_id, after, limit))

    # Webhooks

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """See `WebhookStore.claim_deliveries`."""
        return await self._write_thread.run(lambda: self._writes.claim_deliveries(limit, int(lease_seconds * 1000)))

    async def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """See `WebhookStore.settle_delivery`."""
        next_in_ms = None if next_in is None else int(next_in * 1000)
        return await self._write_thread.run(lambda: self._writes.settle_delivery(taken, attempt, next_in_ms))

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """See `WebhookStore.list_deliveries`."""
        return await self._list_thread.run(lambda: self._lists.deliveries(tenant, message_id))

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """See `WebhookStore.find_deliveries`."""
        return await self._list_thread.run(lambda: self._lists.delivery_records(tenant, chosen, page))

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """See `WebhookStore.replay_delivery`."""
        return await self._write_thread.run(lambda: self._writes.replay_delivery(tenant, delivery_id))

    # Workers

    @contextlib.contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        """See `WorkerStore.open_lease_renewer`."""
        with mapped_errors():
            connection = connect(self._path)
        look_often(connection)
        try:
            yield _SqliteLeaseRenewer(connection, self._make_writes(lambda: connection), self._beats)
        finally:
            connection.close()

    async def list_workers(self) -> list[Worker]:
        """See `WorkerStore.list_workers`."""
        return await self._read_thread.run(self._reads.workers)

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """See `UpkeepStore.prune_workers`."""
        age = int(silent_for_seconds * 1000)
        await self._write_thread.run(lambda: self._writes.prune_workers(age), durable=False)

    # Signals

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """See `Notifier.subscribe`."""
        return self._notifier.subscribe(*topics)

    def publish(self, *topics: str) -> None:
        """See `Notifier.publish`."""
        self._notifier.publish(*topics)

    def leave_hints(self) -> None:
        """In the writing transaction: what other processes should look at."""
        if self._writes.touched and self.capabilities.durable:
            self._writes.leave_hints(self._process)

    def publish_hints(self) -> None:
        """After the commit, in the writer's thread: wake this process's own subscribers."""
        if self._writes.touched and self._loop is not None:
            topics = tuple(self._writes.touched)
            self._writes.touched.clear()
            with contextlib.suppress(RuntimeError):  # the loop is gone, and all subscribers with it
                self._loop.call_soon_threadsafe(self._notifier.publish, *topics)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Passes on the hints of other processes, in a thread with a connection of its own, whatever happens to it."""
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
        with contextlib.closing(connection), contextlib.suppress(RuntimeError):  # of a loop that is closed
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

    def _make_writes(self, connection: Callable[[], apsw.Connection]) -> Writes:
        return Writes(connection, self._queries, ranks=self._ranks, clock=self._clock)

    async def _read_clock(self) -> None:
        """Before anything is judged by the time: notice steps of this host's wall clock."""
        if isinstance(clock := self._clock, SteadyClock):
            await self._write_thread.run(lambda: self._writes.read_clock(clock), durable=False)


class _HintingWriter(Writer):
    """Leaves the hints of a batch in its transaction, and gives them out after the commit."""

    def __init__(self, store: SqliteStore, path: Path, beats: Beats, *, durable: bool) -> None:
        super().__init__(path, beats, durable=durable)
        self._store = store

    def before_commit(self) -> None:
        """See `Connected.before_commit`."""
        self._store.leave_hints()

    def after_commit(self) -> None:
        """See `Connected.after_commit`."""
        self._store.publish_hints()


class _SqliteLeaseRenewer:
    """Meets `app.store.ports.LeaseRenewer`."""

    def __init__(self, connection: apsw.Connection, writes: Writes, beats: Beats) -> None:
        self._connection = connection
        self._writes = writes
        self._beats = beats

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """See `LeaseRenewer.beat`."""
        with self._beats.transaction(self._connection):
            return self._writes.beat(worker, leases, lease_seconds)

    def stop(self, worker_id: str) -> None:
        """See `LeaseRenewer.stop`."""
        with self._beats.transaction(self._connection):
            self._writes.remove_worker(worker_id)
