"""Measures one tenant, or one thread, from its beginning to its end."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from ..errors import AgentQueueError
from ..models.memory import AgentMemory
from ..models.messages import Message
from ..models.storage import (
    FIRST_PLACE,
    MeasuredItems,
    MeasuredMessages,
    MeasuredThread,
    MeasuredThreads,
    MessageSizes,
    TenantStorage,
    ThreadStorage,
)
from ..store.ports import StorageStore
from .pace import Pace

logger = logging.getLogger(__name__)


class Part(Protocol):
    """A part of a walk."""

    @property
    def place(self) -> str | None:
        """Return where to continue; None at the end."""


P = TypeVar("P", bound=Part)

Measure = Callable[[str, int], Awaitable[P]]
"""Measures the next part from a place on, of about so many rows."""

LARGEST_THREADS = 1_000
"""How many of a tenant's threads a measurement keeps."""

KEYS_AT_ONCE = 100
"""Maximum number of conversations whose memory is measured at once."""


class StorageTarget(NamedTuple):
    """The target of a measurement: a tenant, or one of its threads."""

    tenant: str
    thread_id: str | None = None


class Sources(NamedTuple):
    """The sources of a measurement, and the pace that all measurements share."""

    store: StorageStore
    memory: Callable[[], AgentMemory]
    pace: Pace


class Measurement:
    """One walk over all that is stored. `found` has what was measured so far.

    `started_at` is a time of the store, `started` one of the process. `seconds` is how long it took, None while it
    runs.
    """

    def __init__(self, target: StorageTarget, sources: Sources, started_at: datetime) -> None:
        self.started_at = started_at
        self.started = time.monotonic()
        self.seconds: float | None = None
        self._target = target
        self._sources = sources
        self._found = TenantStorage()
        self._begun: MeasuredThread | None = None
        """A thread of which further parts may come."""
        self._largest: list[ThreadStorage] = []

    @property
    def found(self) -> TenantStorage:
        """Return what was measured so far."""
        self._shorten()
        sizes = self._found.sizes if self._begun is None else self._found.sizes.plus(self._begun.sizes)
        return self._found._replace(sizes=sizes, largest=tuple(self._largest))

    async def run(self) -> None:
        """Measure everything. Raises StoreError."""
        tenant, thread_id = self._target
        store = self._sources.store
        if thread_id is not None:
            self._begun = MeasuredThread(thread_id, MessageSizes())  # it may have a memory and no messages
            await self._measure_threads(
                lambda place, limit: store.measure_thread(tenant, thread_id, place, limit=limit),
            )
        else:
            await self._measure_threads(lambda place, limit: store.measure_threads(tenant, place, limit=limit))
            await self._measure_messages(lambda place, limit: store.measure_messages(tenant, place, limit=limit))
            await self._measure_items(lambda place, limit: store.measure_items(tenant, place, limit=limit))
        self.seconds = time.monotonic() - self.started

    async def _walk(self, kind: str, measure: Measure[P]) -> AsyncIterator[P]:
        """Yield all parts."""
        place: str | None = FIRST_PLACE
        while place is not None:
            part = await self._sources.pace.part(kind, partial(measure, place))
            yield part
            place = part.place

    async def _measure_threads(self, measure: Measure[MeasuredThreads]) -> None:
        """Measure threads. One that comes in several parts is complete when another one follows."""
        async for part in self._walk("threads", measure):
            whole: list[MeasuredThread] = []
            for each in part.threads:
                if self._begun is not None and self._begun.thread_id == each.thread_id:
                    self._begun = each._replace(sizes=self._begun.sizes.plus(each.sizes))
                else:
                    whole += [] if self._begun is None else [self._begun]
                    self._begun = each
            await self._add_threads(whole)
        last, self._begun = self._begun, None
        await self._add_threads([] if last is None else [last])

    async def _add_threads(self, threads: Sequence[MeasuredThread]) -> None:
        """Measure what agents remember of threads, and add both."""
        tenant = self._target.tenant
        remembered = await self._remembered([Message.memory_key_of(tenant, each.thread_id, "") for each in threads])
        self._largest += [ThreadStorage(*each, size) for each, size in zip(threads, remembered, strict=True)]
        if len(self._largest) > 2 * LARGEST_THREADS:
            self._shorten()
        found = self._found
        sizes = found.sizes
        for each in threads:
            sizes = sizes.plus(each.sizes)
        self._found = found._replace(threads=found.threads + len(threads), sizes=sizes)

    def _shorten(self) -> None:
        self._largest.sort(key=place_of)
        del self._largest[LARGEST_THREADS:]

    async def _measure_messages(self, measure: Measure[MeasuredMessages]) -> None:
        """Measure messages without a thread, of which each has a memory of its own."""
        tenant = self._target.tenant
        async for part in self._walk("messages", measure):
            await self._remembered([Message.memory_key_of(tenant, None, each) for each in part.ids])
            self._found = self._found._replace(sizes=self._found.sizes.plus(part.sizes))

    async def _measure_items(self, measure: Measure[MeasuredItems]) -> None:
        async for part in self._walk("items", measure):
            items, size = self._found.items + part.items, self._found.item_bytes + part.item_bytes
            self._found = self._found._replace(items=items, item_bytes=size)

    async def _remembered(self, keys: Sequence[str]) -> list[int] | list[None]:
        """Add what agents remember under these keys, and return it. None for all once the memory is away."""
        sizes: list[int] = []
        while len(sizes) < len(keys):
            known = self._found.memory_bytes
            measured = None if known is None else await self._measure_memory(keys[len(sizes) :])
            if known is None or measured is None:
                self._found = self._found._replace(memory_bytes=None)
                return [None] * len(keys)
            sizes += measured
            self._found = self._found._replace(memory_bytes=known + sum(measured))
        return sizes

    async def _measure_memory(self, keys: Sequence[str]) -> list[int] | None:
        """Return what agents remember under the first of these keys, None if the memory is away."""
        memory = self._sources.memory

        def measure(limit: int) -> Awaitable[list[int]]:
            return memory().measure(keys[: min(limit, KEYS_AT_ONCE)])

        try:
            return await self._sources.pace.part("memory", measure)
        except AgentQueueError as error:
            logger.warning("The agents' memory is not measured: error=%s", error)
            return None


def place_of(thread: ThreadStorage) -> tuple[int, str]:
    """Return the place of a thread among the largest."""
    return -thread.total_bytes, thread.thread_id
