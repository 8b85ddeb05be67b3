"""The store on Redis or Valkey: its rooms over two pipelines, and a listener for hints."""

import uuid

from typing_extensions import override

from ...clock import Clock, SteadyClock
from ...errors import StoreIncompatible
from ...policy.rank import RankPolicy
from ..handles import Capabilities
from ..ports import Store
from ..schema_version import SCHEMA_VERSION, check_version
from ..signals import LocalNotifier, LocalSignals
from .accept import RedisAccept
from .access import RedisAccess
from .attempts import RedisAttempts
from .audit import RedisAudit
from .command_pipeline import CommandPipeline, WritePipeline
from .connection import Link, inspect, mapped_errors, refusal
from .control import RedisControl
from .counts import RedisCounts
from .diagnosis import RedisDiagnosis
from .erasures import RedisErasures
from .events import RedisEvents
from .items import RedisItems
from .limits import RedisLimits
from .queries import RedisQueries
from .scripts import load_scripts
from .shares import RedisShares
from .signals import Listener
from .statistics import RedisStatistics
from .storage import RedisStorage
from .tenants import RedisTenants
from .threads import RedisThreads
from .tokens import RedisTokens
from .traces import RedisTraces
from .transitions import RedisTransitions
from .upkeep import RedisUpkeep
from .usage import RedisUsage
from .webhooks import RedisWebhooks
from .workers import RedisWorkers


class RedisStore(
    RedisErasures,  # before the rooms whose methods it calls
    RedisAccept,
    RedisControl,
    RedisAttempts,
    RedisEvents,
    RedisQueries,
    RedisThreads,
    RedisUpkeep,
    RedisWebhooks,
    RedisWorkers,
    RedisItems,
    RedisLimits,
    RedisAccess,
    RedisTokens,
    RedisTenants,
    RedisTraces,
    RedisStatistics,
    RedisTransitions,
    RedisUsage,
    RedisAudit,
    RedisDiagnosis,
    RedisCounts,
    RedisShares,
    RedisStorage,
    LocalSignals,
    Store,
):
    """All ports over one server. All keys begin with `{prefix}`, so that one server can serve several queues."""

    def __init__(
        self,
        url: str,
        *,
        ranks: RankPolicy | None = None,
        clock: Clock | None = None,
        allow_volatile: bool = False,
        prefix: str = "agent_queue",
        running: int = 0,
    ) -> None:
        """`running` is how many messages a tenant may run that has no limit in its record; 0 for any number."""
        self._url = url
        self._allow_volatile = allow_volatile
        self._prefix = f"{{{prefix}}}"
        self._scripts = load_scripts()
        self._notifier = LocalNotifier()
        self._capabilities = Capabilities("redis", durable=True, promise="messages survive kill -9")
        process = uuid.uuid4().hex
        channel = f"{self._prefix}:hints"
        self._write_link = Link(url)
        writes = WritePipeline(
            self._write_link,
            self._scripts,
            self._prefix,
            process=process,
            channel=channel,
            publish=self._notifier.publish,
        )
        reads = CommandPipeline(Link(url), self._scripts, self._prefix)
        super().__init__(writes, reads, ranks or RankPolicy(), clock or SteadyClock(), running)
        self._listener = Listener(Link(url, socket_timeout=None), channel, process, self._notifier.publish)

    @property
    @override
    def capabilities(self) -> Capabilities:
        return self._capabilities  # known once the store is open

    @override
    async def open(self) -> None:
        try:
            with mapped_errors(refusal):
                await self._write_link.connect()
                self._capabilities = await inspect(self._write_link, allow_volatile=self._allow_volatile)
                await self._open_queue()
                await self._writes.open()
                await self._reads.open()
                await self._listener.open()
                await self._read_clock()
        except BaseException:
            await self.close()
            raise

    async def _open_queue(self) -> None:
        """Create the queue unless it exists. Raises StoreIncompatible if it is not ours or has another version."""
        script = self._scripts["open"].text
        version = await self._write_link.ask("EVAL", script, 1, self._prefix, SCHEMA_VERSION, uuid.uuid4().hex)
        if version is None or not version.isdecimal():
            raise StoreIncompatible(
                f"The database has keys under {self._prefix} that are not of this program; name another database."
            )
        check_version(int(version))

    @override
    async def close(self) -> None:
        await self._writes.close()
        await self._reads.close()
        await self._listener.close()

    @override
    async def queue_id(self) -> str:
        name: str = await self._reads.run("queue_id")
        return name

    @override
    async def ping(self) -> None:
        await self._reads.run("ping")
