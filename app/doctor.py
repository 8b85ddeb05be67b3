"""Examines the queue and this process for `agentq doctor` and `GET /doctor`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from typing_extensions import override

from .config import Settings
from .errors import StoreError
from .models.diagnosis import EngineReading, Report, SampledMessage
from .models.keys import ApiKey
from .models.statistics import QueueFigures
from .models.workers import Throughput, Worker
from .observability.doctor.examination import examine
from .observability.doctor.sources import SAMPLE_SIZE, ProcessState, Sources
from .observability.recent_streams import RecentStreams, StreamEnd
from .store.ports import Store

T = TypeVar("T")

MOST_KEYS = 1000
"""Maximum number of API keys that are looked at."""


class ExaminedWorker(Protocol):
    """The worker of this process."""

    @property
    def slots(self) -> int:
        """Return how many messages the worker runs at a time; 0 without a worker."""

    @property
    def beating(self) -> bool:
        """Return whether the worker's heartbeats get through."""


class ExaminedLoop(Protocol):
    """The event loop of the agents."""

    @property
    def abandoned(self) -> int:
        """Return how many runs and threads of ended messages are still there."""

    @property
    def blocking(self) -> str:
        """Return which agent blocks the loop, and for how long; an empty text if none does."""


class StoreSources(Sources):
    """Reads the store, each figure at most once."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        tenant: str | None,
        process: ProcessState | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.tenant = tenant
        self.process = process
        self._store = store
        self._wall_clock = wall_clock
        self._readings: dict[str, asyncio.Task[Any]] = {}

    @override
    def now(self) -> datetime:
        return self._store.now()

    @override
    def wall_clock(self) -> datetime:
        return self._wall_clock()

    @property
    @override
    def durable(self) -> bool:
        return self._store.capabilities.durable

    @override
    async def ping(self) -> None:
        await self._once("ping", self._store.ping)

    @override
    async def figures(self) -> QueueFigures:
        return await self._once("figures", self._store.queue_figures)

    @override
    async def throughput(self) -> Throughput:
        return await self._once("throughput", self._store.throughput)

    @override
    async def workers(self) -> Sequence[Worker]:
        return await self._once("workers", self._store.list_workers)

    @override
    async def sample(self) -> Sequence[SampledMessage]:
        return await self._once("sample", lambda: self._store.sample_messages(limit=SAMPLE_SIZE))

    @override
    async def engine(self) -> Sequence[EngineReading]:
        return await self._once("engine", self._store.read_engine)

    @override
    async def keys(self) -> Sequence[ApiKey]:
        return await self._once("keys", lambda: self._store.list_keys(self.tenant, after="", limit=MOST_KEYS))

    @override
    async def any_key(self) -> bool:
        return (await self._once("access", self._store.access_state)).has_keys

    async def close(self) -> None:
        """Stop the readings that no check waits for any more."""
        for task in self._readings.values():
            task.cancel()
        await asyncio.gather(*self._readings.values(), return_exceptions=True)

    async def _once(self, name: str, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Read something, or wait for who reads it. A waiting check that is cancelled does not end the reading."""
        task = self._readings.get(name)
        if task is None:
            task = self._readings[name] = asyncio.create_task(read(), name=f"doctor reads {name}")
        result: T = await asyncio.shield(task)
        return result


async def examine_store(store: Store, settings: Settings, *, tenant: str | None) -> Report:
    """Examine an open store without a server. `tenant` is the tenant whose ids may be shown; None shows all."""
    return await _examined(StoreSources(store, settings, tenant=tenant))


async def _examined(sources: StoreSources) -> Report:
    try:
        return await examine(sources)
    finally:
        await sources.close()


class Doctor:
    """Examines the store and this process."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        worker: ExaminedWorker,
        loop: ExaminedLoop,
        prove_memory: Callable[[], Awaitable[None]],
        streams: RecentStreams,
    ) -> None:
        self._store = store
        self._settings = settings
        self._worker = worker
        self._loop = loop
        self._prove_memory = prove_memory
        self._streams = streams

    async def report(self, tenant: str) -> Report:
        """Examine everything. Findings show no ids of other tenants."""
        sources = StoreSources(self._store, self._settings, tenant=tenant, process=await self._process())
        return await _examined(sources)

    async def _process(self) -> ProcessState:
        return ProcessState(
            beating=self._worker.beating or not self._worker.slots,
            abandoned=self._loop.abandoned,
            blocked=self._loop.blocking,
            memory_problem=await self._memory_problem(),
            left_streams=self._streams.seconds_of(StreamEnd.LEFT),
            slow_streams=len(self._streams.seconds_of(StreamEnd.SLOW)),
            failed_streams=len(self._streams.seconds_of(StreamEnd.FAILED)),
            whole_streams=len(self._streams.seconds_of(StreamEnd.WHOLE)),
        )

    async def _memory_problem(self) -> str:
        if not self._worker.slots:
            return ""
        try:
            await self._prove_memory()
        except StoreError as error:
            return error.state
        return ""
