"""The store on an SQLite file: one thread writes, one reads, one lists."""

import asyncio
import shutil
import tempfile
import uuid
from pathlib import Path

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
from .accept import AcceptWrites, SqliteAccept
from .access import AccessWrites
from .attempts import AttemptWrites, SqliteAttempts
from .changes import Writing
from .connection import Reader
from .control import ControlWrites
from .counts import CountWrites
from .diagnosis import SqliteDiagnosis
from .erasures import ErasureWrites
from .events import EventWrites, SqliteEvents
from .items import ItemWrites
from .queries import SqliteReads
from .shares import SqliteShares
from .signals import HintingWriter, Hints
from .statistics import FigureWrites
from .storage import SqliteStorage
from .tenants import TenantWrites
from .threads import ThreadWrites
from .tokens import TokenWrites
from .traces import TraceWrites
from .transitions import SqliteTransitions
from .upkeep import UpkeepWrites
from .webhooks import WebhookWrites
from .workers import SqliteWorkers

DURABLE = Capabilities("sqlite", durable=True, promise="messages survive kill -9, a crash of the host and power loss")
VOLATILE = Capabilities("memory", durable=False, promise="no message survives the end of this process")


class SqliteStore(
    SqliteAccept, SqlControl, SqliteAttempts, SqliteEvents, SqlQueries, SqlThreads, SqlUpkeep, SqlWebhooks,
    SqliteWorkers, SqlItems, SqlLimits, SqlAccess, SqlTokens, SqlTenants, SqlTraces, SqlAudit, SqlStatistics,
    SqliteTransitions, SqlUsage, SqliteDiagnosis, SqlCounts, SqliteShares, SqliteStorage, SqlErasures,
    LocalSignals, Store,
):  # fmt: skip
    """All ports over one SQLite file; with `path` None, over a temporary file."""

    def __init__(
        self, path: Path | None, *, ranks: RankPolicy | None = None, clock: Clock | None = None, running: int = 0
    ) -> None:
        """`running` is how many messages a tenant may run that has no limit in its record; 0 for any number."""
        name = f"agent-queue-{uuid.uuid4().hex}"
        self._folder = Path(tempfile.gettempdir(), name) if path is None else None
        self._path = path or Path(tempfile.gettempdir(), name, "queue.db")
        self._clock = clock or SteadyClock()
        self._ranks = ranks or RankPolicy()
        queries = load_queries("sqlite")
        self._notifier = LocalNotifier()
        self._hints = Hints(self._path, queries, self._notifier, shared=path is not None)
        self._writer = writer = HintingWriter(self._path, self._hints, durable=path is not None)
        self._writing = Writing(lambda: writer.connection, queries, self._ranks, self._clock, running=running)
        writer.share(self._writing)
        reader, list_reader = Reader(self._path), Reader(self._path)
        self._reads = SqliteReads(lambda: reader.connection, queries)
        self._lists = SqliteReads(lambda: list_reader.connection, queries)
        self._read_thread = GroupCommitThread("sqlite-reader", reader)
        self._list_thread = GroupCommitThread("sqlite-lists", list_reader)
        self._write_thread = GroupCommitThread("sqlite-writer", writer)
        self._control_thread = self._dead_letter_thread = self._access_thread = self._write_thread
        self._upkeep_thread = self._webhook_thread = self._item_thread = self._write_thread
        self._accept = self._limit_duties = AcceptWrites(self._writing)
        self._control = self._dead_letters = ControlWrites(self._writing)
        self._thread_changes = ThreadWrites(self._writing)
        self._attempts = AttemptWrites(self._writing)
        self._events = self._usage_changes = EventWrites(self._writing)
        self._upkeep = UpkeepWrites(self._writing)
        self._figures = FigureWrites(self._writing)
        self._counts = CountWrites(self._writing)
        self._webhooks = WebhookWrites(self._writing)
        self._items = ItemWrites(self._writing)
        self._access_changes = AccessWrites(self._writing)
        self._token_changes = TokenWrites(self._writing)
        self._tenant_changes = TenantWrites(self._writing)
        self._traces = TraceWrites(self._writing)
        self._erasures = ErasureWrites(self._writing)
        self._settling = Settling(lambda place: self._write_thread.run(lambda: self._control.settle(place)))

    @property
    @override
    def capabilities(self) -> Capabilities:
        return VOLATILE if self._folder else DURABLE

    @override
    async def open(self) -> None:
        self._hints.attach(asyncio.get_running_loop())
        try:
            await self._write_thread.open()
            await self._read_thread.open()
            await self._list_thread.open()
            await self._read_clock()
        except BaseException:
            await self.close()
            raise
        self._hints.listen()

    @override
    async def close(self) -> None:
        self._hints.ask_to_stop()
        await self._write_thread.close()
        await self._read_thread.close()
        await self._list_thread.close()
        await self._hints.join()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @override
    async def queue_id(self) -> str:
        return await self._read_thread.run(self._reads.queue_id)

    @override
    async def ping(self) -> None:
        await self._write_thread.run(lambda: None, durable=False)
