"""Shows callers what is stored, and how long it is kept."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from .access.principals import Principal
from .access.scopes import AccessScope
from .access.visible import ALL_OF_TENANT, VisibleReads, require_all
from .errors import Forbidden
from .models.memory import AgentMemory
from .models.messages import Page
from .models.storage import StorageArea, TenantStorage, ThreadStorage
from .models.tenants import DEFAULT_SETTINGS, TenantSettings
from .storage.measurement import Measurement, Sources, StorageTarget, place_of
from .storage.pace import Pace
from .store.ports import QueryStore, StorageStore, TenantStore, ThreadStore

WAIT_SECONDS = 5.0
"""How long a request waits for measurements before it shows what was measured so far."""

MAX_AGE_SECONDS = 60.0
"""Age up to which a measurement is shown again, unless the caller gives another one."""

AGE_SHARE = 10
"""A long measurement is shown again for so many times as long as it took."""

KEPT = 100
"""Maximum number of tenants whose last measurement a process keeps, and the same of threads."""


RUNNING = 100
"""Number of measurements above which the oldest one of a thread is given up. Its requests get what it found."""


class MeasuredStore(StorageStore, QueryStore, ThreadStore, TenantStore, Protocol):
    """The ports of the storage manager, and the store's time."""

    def now(self) -> datetime:
        """Return the store's time."""


class Stored(NamedTuple):
    """The result of a measurement.

    It began at `as_of`: later changes may be missing. `complete` is false if it has not ended. Figures are then too
    low. `measuring` tells whether a newer measurement runs.
    """

    tenant: str
    as_of: datetime
    complete: bool
    measuring: bool
    found: TenantStorage


class StoredOfTenant(NamedTuple):
    """The storage of a tenant, and the settings of its record."""

    stored: Stored
    settings: TenantSettings


class StorageManager:
    """Measures what tenants and threads store when somebody asks, and keeps the last measurements.

    `memory_file` is the file of the agents' memory; None if it is in no file.
    """

    def __init__(
        self,
        store: MeasuredStore,
        memory: Callable[[], AgentMemory],
        memory_file: Path | None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._visible = VisibleReads(store)
        self._sources = Sources(store, memory, Pace())
        self._memory_file = memory_file
        self._wait_seconds = wait_seconds
        self._tenants: OrderedDict[StorageTarget, Measurement] = OrderedDict()
        self._threads: OrderedDict[StorageTarget, Measurement] = OrderedDict()
        self._running: dict[StorageTarget, tuple[Measurement, asyncio.Task[None]]] = {}

    async def stop(self) -> None:
        """Stop all measurements."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def tenants(
        self, caller: Principal, tenant: str | None, *, after: str, limit: int, max_age: float | None
    ) -> list[StoredOfTenant]:
        """Return what tenants store, up to `limit` behind the name `after`, with the scope `admin` of all tenants.

        Raises Forbidden for what the caller may not see.
        """
        names: Sequence[str] = [name for name in (_tenant_of(caller, tenant),) if name > after]
        if tenant is None and AccessScope.ADMIN in caller.scopes:
            names = await self._store.list_stored_tenants(after=after, limit=limit)
        deadline = time.monotonic() + self._wait_seconds
        found = []
        for name in names:
            stored = await self._measured(StorageTarget(name), max_age, deadline)
            record = await self._store.get_tenant(name)
            found.append(StoredOfTenant(stored, DEFAULT_SETTINGS if record is None else record.settings))
        return found

    async def largest_threads(
        self, caller: Principal, tenant: str | None, page: Page, *, max_age: float | None
    ) -> tuple[Stored, list[ThreadStorage]]:
        """Return a page of the largest threads of a tenant, the largest first. Raises Forbidden."""
        deadline = time.monotonic() + self._wait_seconds
        stored = await self._measured(StorageTarget(_tenant_of(caller, tenant)), max_age, deadline)
        threads = stored.found.largest
        if page.cursor is not None:
            size, thread_id = page.cursor
            threads = [each for each in threads if place_of(each) > (-size, thread_id)]
        return stored, list(threads[: page.limit])

    async def thread(self, caller: Principal, thread_id: str, *, max_age: float | None) -> tuple[Stored, ThreadStorage]:
        """Return what a thread stores.

        Raises ThreadNotFound, and Forbidden if the caller may use some agents only.
        """
        await self._visible.thread(caller, thread_id)
        if caller.agents is not None:
            raise Forbidden(ALL_OF_TENANT)
        deadline = time.monotonic() + self._wait_seconds
        stored = await self._measured(StorageTarget(caller.tenant, thread_id), max_age, deadline)
        found = stored.found
        return stored, ThreadStorage(thread_id, found.sizes, found.memory_bytes)

    async def engine(self, caller: Principal) -> Sequence[StorageArea] | None:
        """Return what the engine uses up for all tenants. None for callers who may not see all tenants."""
        if AccessScope.ADMIN not in caller.scopes or caller.is_narrowed:
            return None
        areas = list(await self._store.measure_engine())
        if self._memory_file is not None:
            areas.append(StorageArea("memory", await asyncio.to_thread(_size_of, self._memory_file)))
        return areas

    async def _measured(self, target: StorageTarget, max_age: float | None, deadline: float) -> Stored:
        """Return a measurement that is young enough, or at the deadline the newest one. Raises StoreError."""
        asked = time.monotonic()
        while True:
            kept = self._kept(target).get(target)
            if kept is not None and kept.started >= asked - _age(kept, max_age):
                return self._stored(target, kept)
            measurement, task = self._running.get(target) or self._begin(target)
            await asyncio.wait({task}, timeout=max(deadline - time.monotonic(), 0))
            if not task.done():
                return self._stored(target, measurement if kept is None else kept)
            if task.cancelled():
                return self._stored(target, measurement if kept is None else kept)
            task.result()  # raises what made it fail
            if measurement.started >= asked - _age(measurement, max_age):
                return self._stored(target, measurement)

    def _stored(self, target: StorageTarget, measurement: Measurement) -> Stored:
        complete, running = measurement.seconds is not None, self._running.get(target)
        measuring = running is not None and not running[1].done()
        return Stored(target.tenant, measurement.started_at, complete, measuring, measurement.found)

    def _begin(self, target: StorageTarget) -> tuple[Measurement, asyncio.Task[None]]:
        if len(self._running) >= RUNNING:
            self._give_up_one()
        measurement = Measurement(target, self._sources, self._store.now())
        task = asyncio.create_task(measurement.run(), name="measure what is stored")
        self._running[target] = measurement, task

        def ended(_: asyncio.Task[None]) -> None:
            del self._running[target]
            if not task.cancelled() and task.exception() is None:
                kept = self._kept(target)
                kept[target] = measurement
                kept.move_to_end(target)
                if len(kept) > KEPT:
                    kept.popitem(last=False)

        task.add_done_callback(ended)
        return self._running[target]

    def _give_up_one(self) -> None:
        """Cancel the measurement of a thread that runs for the longest time."""
        for target, (_, task) in self._running.items():
            if target.thread_id is not None and not task.cancelling():
                task.cancel()
                return

    def _kept(self, target: StorageTarget) -> "OrderedDict[StorageTarget, Measurement]":
        return self._tenants if target.thread_id is None else self._threads


def _tenant_of(caller: Principal, tenant: str | None) -> str:
    """Return the tenant that a caller asks for, by default their own. Raises Forbidden for what they may not see."""
    require_all(caller)
    if tenant not in (None, caller.tenant) and AccessScope.ADMIN not in caller.scopes:
        raise Forbidden("tenant: the storage of other tenants needs the scope admin.")
    return tenant or caller.tenant


def _age(measurement: Measurement, max_age: float | None) -> float:
    """Return the age up to which a measurement is shown, in seconds since it began."""
    if max_age is not None:
        return max_age
    return max(MAX_AGE_SECONDS, AGE_SHARE * (measurement.seconds or 0.0))


def _size_of(file: Path) -> int:
    """Return the size of an SQLite file and of its WAL, in bytes."""
    return sum(each.stat().st_size for each in (file, Path(f"{file}-wal")) if each.exists())
