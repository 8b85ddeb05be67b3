"""The store on a PostgreSQL database: a lane for each kind of work, a heart for each worker, hints by NOTIFY."""

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from ...clock import Clock, SteadyClock, to_datetime
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
from ...policy.rank import RankPolicy
from ..group_commit import GroupCommitThread
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
from ..rows import agents_text
from ..scanning import scan
from ..terminal_states import events_size, outcome_size
from .accepting import Accepting, Add, parts_of
from .connection import Session, connection_parameters
from .controlling import Controlling
from .delivering import Delivering
from .hints import HintSender, Listener
from .migrations import prepare_database
from .operations import PostgresReads
from .runners import CONNECT, OneByOne, Reading, Runner, Together
from .running import Append, Finish, Finishing, Logging
from .upkeep import EXPIRE_BATCH, PROMOTE_BATCH, PRUNE_BATCH, RESCUE_BATCH, Upkeep
from .watchdog import Watchdog

DURABLE = Capabilities("postgres", durable=True, promise="messages survive kill -9 and a crash of the database server")
VOLATILE = Capabilities(
    "postgres", durable=False, promise="messages survive kill -9, not a crash of the database server"
)


class PostgresStore:
    """Meets `app.store.ports.Store`. Raises ConfigurationError for a URL that cannot be read."""

    def __init__(
        self,
        url: str,
        *,
        ranks: RankPolicy | None = None,
        clock: Clock | None = None,
        allow_volatile: bool = False,
    ) -> None:
        self._parameters = connection_parameters(url)
        self._clock = clock or SteadyClock()
        self._allow_volatile = allow_volatile
        self._capabilities = VOLATILE if allow_volatile else DURABLE
        self._queries = load_queries("postgres")
        self._process = uuid.uuid4().hex
        self._notifier = LocalNotifier()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchdog = Watchdog()
        self._sessions: list[Session] = []
        self._workings: list[tuple[Session, GroupCommitThread]] = []
        ranks = ranks or RankPolicy()
        self._accepting = accepting = Accepting(self._session(), self._clock, ranks)
        logging, finishing = Logging(self._session(), self._clock), Finishing(self._session(), self._clock)
        self._controls = Controlling(self._session(), self._clock, ranks)
        self._settling = Settling(lambda place: self._control_thread.run(lambda: self._controls.settle(place)))
        self._deliveries = Delivering(self._session(), self._clock)
        self._upkeep = Upkeep(self._session(), self._clock)
        # Many messages at once take long, and whoever cancels or answers one does not wait for that.
        self._dead_letters = Controlling(self._upkeep.session, self._clock, ranks)
        self._reads = PostgresReads(self._session())
        self._accept_thread = self._thread(
            "accept", Together(accepting.session, accepting.add, self._touch, parts=parts_of)
        )
        self._log_thread = self._thread("log", Together(logging.session, logging.append, self._touch))
        self._finish_thread = self._thread("finish", Together(finishing.session, finishing.finish, self._touch))
        self._control_thread = self._thread("control", OneByOne(self._controls.session, self._touch))
        self._delivery_thread = self._thread("deliver", OneByOne(self._deliveries.session, self._touch))
        self._upkeep_thread = self._thread("upkeep", OneByOne(self._upkeep.session, self._touch))
        self._lists = PostgresReads(self._session())
        self._claims = Controlling(self._session(), self._clock, ranks)
        self._read_thread = self._thread("read", Reading(self._reads.session))
        self._list_thread = self._thread("list", Reading(self._lists.session))
        self._claim_thread = self._thread("claim", OneByOne(self._claims.session, self._touch))
        self._work_threads = (
            self._read_thread,  # these two first: where connections are few, the store opens with them and reports it
            self._upkeep_thread,
            self._accept_thread,
            self._log_thread,
            self._finish_thread,
            self._control_thread,
            self._delivery_thread,
            self._list_thread,
            self._claim_thread,
        )
        self._hint_thread = GroupCommitThread("postgres-notify", HintSender(self._session(), self._process))
        self._listener = Listener(self._session(), self._process, self._hear)

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""
        return self._capabilities

    def _session(self) -> Session:
        self._sessions.append(Session(self._parameters, self._queries, self._watchdog))
        return self._sessions[-1]

    def _thread(self, name: str, runner: Runner) -> GroupCommitThread:
        thread = GroupCommitThread(f"postgres-{name}", runner)
        self._workings.append((runner.session, thread))
        return thread

    async def _read_clock(self) -> None:
        """Before anything is judged by the time: notice steps of the server's clock."""
        if isinstance(clock := self._clock, SteadyClock):
            await self._upkeep_thread.run(lambda: self._upkeep.read_clock(clock))

    # Life

    async def open(self) -> None:
        """See `Store.open`."""
        self._loop = asyncio.get_running_loop()
        durable = await asyncio.to_thread(prepare_database, self._parameters, allow_volatile=self._allow_volatile)
        self._capabilities = DURABLE if durable else VOLATILE
        self._watchdog.start()
        try:
            for thread in (*self._work_threads, self._hint_thread):
                await thread.open()
            await self._read_clock()
        except BaseException:
            await self.close()
            raise
        self._listener.start()

    async def close(self) -> None:
        """See `Store.close`."""
        for session in self._sessions:
            session.stop_settling()
        for thread in self._work_threads:
            await thread.close()
        self._listener.ask_to_stop()
        if self._hint_thread.is_open:
            await self._hint_thread.submit({"closing"})
        await self._hint_thread.close()
        await asyncio.to_thread(self._listener.join)
        await asyncio.to_thread(self._watchdog.stop)

    async def queue_id(self) -> str:
        """See `Store.queue_id`."""
        return await self._read_thread.run(self._reads.queue_id)

    async def ping(self) -> None:
        """See `Store.ping`. A server that takes no writes does not answer as it should.

        Neither does one that has no connection left for some of what this process does.
        """
        await self._read_thread.run(self._reads.prove_writable)
        await self._connect_all()

    async def _connect_all(self) -> None:
        """Connect what is not connected. Raises StoreUnavailable."""
        for session, thread in self._workings:
            if not session.connected:
                await thread.submit(CONNECT)

    def now(self) -> datetime:
        """See `AcceptStore.now`."""
        return to_datetime(self._clock.now())

    # Messages

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """See `AcceptStore.add`."""

        def clear_part(threads: Sequence[ThreadKey]) -> Awaitable[Cleared]:
            return self._control_thread.run(lambda: self._controls.clear(threads, len(new), max_queued, key))

        cleared = await clear(new, clear_part) if asks_of_thread(new) else {}
        accepted: Accepted = await self._accept_thread.submit(Add(new, max_queued, key, cleared))
        if self._accepting.unsettled:
            await self._settling.complete(self._accepting.unsettled, accepted.messages)
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
        cancelled = await self._control_thread.run(lambda: self._controls.cancel(tenant, message_id, running))
        await self._settling.complete(self._controls.unsettled, [cancelled])
        return cancelled

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """See `ControlStore.reprioritize`."""
        message = await self._control_thread.run(lambda: self._controls.reprioritize(tenant, message_id, priority))
        await self._settling.complete(self._controls.unsettled, [message])
        return message

    async def resume(
        self, tenant: str, message_id: str, fence: int, value: str, *, key: RequestKey | None = None
    ) -> Accepted:
        """See `ControlStore.resume`."""
        return await self._control_thread.run(lambda: self._controls.resume(tenant, message_id, fence, value, key))

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """See `ControlStore.requeue`."""
        messages = await self._upkeep_thread.run(lambda: self._dead_letters.requeue(tenant, message_ids))
        await self._settling.complete(self._dead_letters.unsettled, messages)
        await delete_dropped(self._delete_dropped_events)
        return messages

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """See `ControlStore.purge`."""
        keys = await self._upkeep_thread.run(lambda: self._dead_letters.purge(tenant, message_ids))
        await delete_dropped(self._delete_dropped_events)
        return keys

    async def _delete_dropped_events(self) -> int:
        return await self._upkeep_thread.run(self._upkeep.delete_dropped_events)

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
        await self._control_thread.run(lambda: self._controls.pause(paused))

    async def throughput(self) -> Throughput:
        """See `QueryStore.throughput`."""
        return await self._read_thread.run(self._reads.throughput)

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """See `AttemptStore.claim`. Nothing is claimed whose end could not be stored, for want of connections."""
        await self._connect_all()
        return await self._claim_thread.run(lambda: self._claims.claim(worker_id, agents, limit, lease_seconds))

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """See `AttemptStore.finish`."""
        await self._finish_thread.submit(Finish(lease, outcome), size=outcome_size(outcome))

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """See `UpkeepStore.rescue`."""
        await self._read_clock()
        return await repeat(lambda: self._upkeep_thread.run(lambda: self._upkeep.rescue(max_crashes)), RESCUE_BATCH)

    async def promote(self) -> int:
        """See `UpkeepStore.promote`."""
        await self._read_clock()
        return await repeat(lambda: self._upkeep_thread.run(self._upkeep.promote), PROMOTE_BATCH)

    async def expire_interrupts(self) -> int:
        """See `UpkeepStore.expire_interrupts`."""
        return await repeat(lambda: self._upkeep_thread.run(self._upkeep.expire_interrupts), EXPIRE_BATCH)

    async def prune_keys(self) -> None:
        """See `UpkeepStore.prune_keys`."""
        await self._upkeep_thread.run(self._upkeep.prune_keys)

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_logs`."""
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._upkeep_thread.run(lambda: self._upkeep.prune_logs(age, size))

        return await prune(prune_part, limit, PRUNE_BATCH)

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """See `UpkeepStore.prune_messages`."""
        age = int(older_than_seconds * 1000)

        def prune_part(size: int) -> Awaitable[tuple[int, list[str], bool]]:
            return self._upkeep_thread.run(lambda: self._upkeep.prune_messages(age, size))

        pruned = await prune(prune_part, limit, PRUNE_BATCH)
        await repeat(self._delete_dropped_events, EVENTS_AT_ONCE)
        return pruned

    # Event log

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """See `EventLog.append`."""
        last: int = await self._log_thread.submit(Append(lease, events), size=events_size(events))
        return last

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
        return await self._delivery_thread.run(
            lambda: self._deliveries.claim_deliveries(limit, int(lease_seconds * 1000))
        )

    async def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """See `WebhookStore.settle_delivery`."""
        next_in_ms = None if next_in is None else int(next_in * 1000)
        return await self._delivery_thread.run(lambda: self._deliveries.settle_delivery(taken, attempt, next_in_ms))

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """See `WebhookStore.list_deliveries`."""
        return await self._list_thread.run(lambda: self._lists.deliveries(tenant, message_id))

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """See `WebhookStore.find_deliveries`."""
        return await self._list_thread.run(lambda: self._lists.delivery_records(tenant, chosen, page))

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """See `WebhookStore.replay_delivery`."""
        return await self._delivery_thread.run(lambda: self._deliveries.replay_delivery(tenant, delivery_id))

    # Workers

    @contextlib.contextmanager
    def open_lease_renewer(self) -> Iterator[LeaseRenewer]:
        """See `WorkerStore.open_lease_renewer`."""
        session = Session(self._parameters, self._queries, self._watchdog)
        try:
            session.open()
            yield _PostgresLeaseRenewer(session, self._clock)
        finally:
            session.close()

    async def list_workers(self) -> list[Worker]:
        """See `WorkerStore.list_workers`."""
        return await self._read_thread.run(self._reads.workers)

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """See `UpkeepStore.prune_workers`."""
        age = int(silent_for_seconds * 1000)
        await self._upkeep_thread.run(lambda: self._upkeep.prune_workers(age))

    # Signals

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """See `Notifier.subscribe`."""
        return self._notifier.subscribe(*topics)

    def publish(self, *topics: str) -> None:
        """See `Notifier.publish`."""
        self._notifier.publish(*topics)

    def _touch(self, topics: Collection[str]) -> None:
        """After a commit, in a lane's thread: wake this process's own subscribers, then those of others."""
        if topics:
            self._in_loop(self._spread, frozenset(topics))

    def _hear(self, topics: list[str]) -> None:
        """In the listener's thread."""
        self._in_loop(lambda heard: self._notifier.publish(*heard), topics)

    def _spread(self, topics: Collection[str]) -> None:
        self._notifier.publish(*topics)
        if self._hint_thread.is_open:
            self._hint_thread.submit(topics)

    def _in_loop(self, call: Callable[[Collection[str]], None], topics: Collection[str]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and all subscribers with it
                self._loop.call_soon_threadsafe(call, topics)


class _PostgresLeaseRenewer:
    """Meets `app.store.ports.LeaseRenewer`."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """See `LeaseRenewer.beat`."""
        with self._session.statement():
            rows = self._session.rows(
                "beat",
                id=worker.id,
                host=worker.host,
                pid=worker.pid,
                slots=worker.slots,
                agents=agents_text(worker),
                now=self._clock.now(),
                ids=[lease.message_id for lease in leases],
                fences=[lease.fence for lease in leases],
                lease_milliseconds=int(lease_seconds * 1000),
            )
        cancelled = frozenset(message_id for message_id, _, cancel_requested in rows if cancel_requested)
        return Beat({message_id: fence for message_id, fence, _ in rows}, cancelled)

    def stop(self, worker_id: str) -> None:
        """See `LeaseRenewer.stop`."""
        with self._session.statement():
            self._session.rows("remove_worker", id=worker_id)
