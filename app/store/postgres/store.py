"""The store on a PostgreSQL database: each kind of work has a thread with a session."""

import asyncio

from typing_extensions import override

from ...clock import Clock, SteadyClock
from ...policy.rank import RankPolicy
from ..handles import Capabilities
from ..parts import Settling
from ..ports import Store
from ..signals import LocalNotifier, LocalSignals
from ..sql.access import SqlAccess
from ..sql.audit import SqlAudit
from ..sql.control import SqlControl
from ..sql.counts import SqlCounts
from ..sql.erasures import SqlErasures
from ..sql.group_commit import GroupCommitThread
from ..sql.items import SqlItems
from ..sql.limits import SqlLimits
from ..sql.named_sql import load_queries
from ..sql.queries import SqlQueries
from ..sql.statistics import SqlStatistics
from ..sql.tenants import SqlTenants
from ..sql.threads import SqlThreads
from ..sql.tokens import SqlTokens
from ..sql.traces import SqlTraces
from ..sql.upkeep import SqlUpkeep
from ..sql.usage import SqlUsage
from ..sql.webhooks import SqlWebhooks
from .accept import AcceptWrites, PostgresAccept, parts_of
from .access import AccessWrites
from .attempts import ClaimWrites, FinishWrites, PostgresAttempts
from .connection import connection_parameters
from .control import ControlWrites
from .counts import CountWrites
from .diagnosis import PostgresDiagnosis
from .erasures import ErasureWrites
from .events import EventWrites, PostgresEvents
from .items import ItemWrites
from .limits import Limiting
from .migrations import prepare_database
from .queries import PostgresReads
from .runners import CONNECT, OneByOne, Reading, Runner, Together
from .session import Session
from .shares import PostgresShares
from .signals import Hints
from .statistics import FigureWrites
from .storage import PostgresStorage
from .tenants import TenantWrites
from .threads import ThreadWrites
from .tokens import TokenWrites
from .traces import TraceWrites
from .transitions import PostgresTransitions
from .upkeep import UpkeepWrites
from .usage import UsageWrites
from .watchdog import Watchdog
from .webhooks import WebhookWrites
from .workers import PostgresWorkers

DURABLE = Capabilities(
    "postgres",
    durable=True,
    promise="messages survive kill -9, a crash of the host and power loss; "
    "a failover without synchronous replication may lose the newest",
)
VOLATILE = Capabilities(
    "postgres", durable=False, promise="messages survive kill -9, not a crash of the database server"
)


class PostgresStore(
    PostgresAccept, SqlControl, PostgresAttempts, PostgresEvents, SqlQueries, SqlThreads, SqlUpkeep, SqlWebhooks,
    PostgresWorkers, SqlItems, SqlLimits, SqlAccess, SqlTokens, SqlTenants, SqlTraces, SqlAudit, SqlStatistics,
    PostgresTransitions, SqlUsage, PostgresDiagnosis, SqlCounts, PostgresShares, PostgresStorage, SqlErasures,
    LocalSignals, Store,
):  # fmt: skip
    """All ports over one PostgreSQL database. Raises ConfigurationError for a URL that cannot be read."""

    _reads: PostgresReads
    _figures: FigureWrites

    def __init__(
        self,
        url: str,
        *,
        ranks: RankPolicy | None = None,
        clock: Clock | None = None,
        allow_volatile: bool = False,
        running: int = 0,
    ) -> None:
        """`running` is how many messages a tenant may run that has no limit in its record; 0 for any number."""
        self._running = running
        self._parameters = connection_parameters(url)
        self._clock = clock or SteadyClock()
        self._ranks = ranks or RankPolicy()
        self._allow_volatile = allow_volatile
        self._capabilities = VOLATILE if allow_volatile else DURABLE
        self._queries = load_queries("postgres")
        self._notifier = LocalNotifier()
        self._watchdog = Watchdog()
        self._sessions: list[Session] = []
        self._threads: list[tuple[Session, GroupCommitThread]] = []
        self._hints = Hints(self._notifier, self._session)
        # Reads and upkeep connect first: with few connections, the store still opens and reports it.
        self._reads = PostgresReads(self._session())
        self._read_thread = self._thread("read", Reading(self._reads.session))
        self._make_upkeep(self._ranks)
        self._make_writers(self._ranks)
        self._lists = PostgresReads(self._session())
        self._list_thread = self._thread("list", Reading(self._lists.session))
        self._settling = Settling(lambda place: self._control_thread.run(lambda: self._control.settle(place)))

    def _make_upkeep(self, ranks: RankPolicy) -> None:
        session = self._session()
        self._upkeep = UpkeepWrites(session, self._clock, ranks)
        self._usage_changes = UsageWrites(session, self._clock)
        self._figures = FigureWrites(session, self._clock)
        # Requeue and purge of many messages take long. Cancels and answers do not wait for them.
        self._dead_letters = ControlWrites(session, self._clock, ranks)
        self._thread_changes = ThreadWrites(session, self._clock)
        self._erasures = ErasureWrites(session, self._clock)
        self._counts = CountWrites(session, self._clock)
        self._limit_duties = Limiting(session, self._clock)
        self._upkeep_thread = self._dead_letter_thread = self._thread("upkeep", OneByOne(session, self._hints.publish))

    def _make_writers(self, ranks: RankPolicy) -> None:
        publish = self._hints.publish
        self._accept = AcceptWrites(self._session(), self._clock, ranks)
        self._accept_thread = self._thread(
            "accept", Together(self._accept.session, self._accept.add, publish, parts=parts_of)
        )
        logs = EventWrites(self._session(), self._clock)
        self._log_thread = self._thread("log", Together(logs.session, logs.append, publish))
        finishes = FinishWrites(self._session(), self._clock)
        self._finish_thread = self._thread("finish", Together(finishes.session, finishes.finish, publish))
        self._control = ControlWrites(self._session(), self._clock, ranks)
        self._access_changes = AccessWrites(self._control.session, self._clock)
        self._token_changes = TokenWrites(self._control.session, self._clock)
        self._tenant_changes = TenantWrites(self._control.session, self._clock)
        self._traces = TraceWrites(self._control.session, self._clock)
        self._control_thread = self._access_thread = self._thread("control", OneByOne(self._control.session, publish))
        self._webhooks = WebhookWrites(self._session(), self._clock)
        self._items = ItemWrites(self._webhooks.session, self._clock)
        self._webhook_thread = self._item_thread = self._thread("deliver", OneByOne(self._webhooks.session, publish))
        self._claims = ClaimWrites(self._session(), self._clock)
        self._claim_thread = self._thread("claim", OneByOne(self._claims.session, publish))

    def _make_session(self) -> Session:
        return Session(self._parameters, self._queries, self._watchdog, self._running)

    def _session(self) -> Session:
        self._sessions.append(self._make_session())
        return self._sessions[-1]

    def _thread(self, name: str, runner: Runner) -> GroupCommitThread:
        thread = GroupCommitThread(f"postgres-{name}", runner)
        self._threads.append((runner.session, thread))
        return thread

    @property
    @override
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @override
    async def open(self) -> None:
        durable = await asyncio.to_thread(self._prepare)
        self._capabilities = DURABLE if durable else VOLATILE
        self._watchdog.start()
        try:
            for _, thread in self._threads:
                await thread.open()
            await self._hints.open()
            await self._read_clock()
            await self._upkeep_thread.run(self._figures.adopt_records)
        except BaseException:
            await self.close()
            raise
        self._hints.listen()

    def _prepare(self) -> bool:
        """Check and migrate the database. Return whether commits survive a crash of the server."""
        return prepare_database(self._parameters, allow_volatile=self._allow_volatile)

    @override
    async def close(self) -> None:
        for session in self._sessions:
            session.stop_settling()
        for _, thread in self._threads:
            await thread.close()
        await self._hints.close()
        await asyncio.to_thread(self._watchdog.stop)

    @override
    async def queue_id(self) -> str:
        return await self._read_thread.run(self._reads.queue_id)

    @override
    async def ping(self) -> None:
        # The server must accept writes and have a connection for each thread.
        await self._read_thread.run(self._reads.prove_writable)
        await self._connect_all()

    async def _connect_all(self) -> None:
        """Connect every session that is not connected. Raises StoreUnavailable."""
        for session, thread in self._threads:
            if not session.connected:
                await thread.submit(CONNECT)
