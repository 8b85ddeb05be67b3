"""Replies about what is stored."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from ...config import Settings, shown_settings
from ...models.storage import MessageSizes, StorageArea, ThreadStorage
from ...models.types import Moment
from ...storage_manager import Stored, StoredOfTenant
from .examples import CREATED, THREAD_ID, example

SETTINGS = (
    "RETENTION_DAYS",
    "EVENT_RETENTION_HOURS",
    "THREAD_TTL_MINUTES",
    "CHECKPOINT_HISTORY",
    "INTERRUPT_TTL_HOURS",
    "USAGE_RETENTION_DAYS",
    "STATS_RETENTION_DAYS",
    "MAX_BODY_BYTES",
    "MAX_OUTPUT_BYTES",
)
"""The settings that decide how much is kept, and for how long."""

SIZES = {"messages": 1_200, "message_bytes": 5_400_000, "events": 24_000, "event_bytes": 9_100_000}
MEASURED = {"as_of": CREATED, "complete": True, "measuring": False}


class MeasuredView(BaseModel):
    """The time of a measurement, and whether it is whole."""

    as_of: Moment = Field(description="When the measurement began. Later changes may be missing.")
    complete: bool = Field(description="Whether the measurement has ended. Until then, the figures are too low.")
    measuring: bool = Field(description="Whether a newer measurement runs. Ask again to see it.")


def measured_fields(stored: Stored) -> dict[str, Any]:
    """Return the fields of MeasuredView."""
    return {name: getattr(stored, name) for name in MeasuredView.model_fields}


class SizesView(BaseModel):
    """Rows and bytes of content. Keys, indexes and free space come on top of it."""

    messages: int
    message_bytes: int = Field(
        description="UTF-8 bytes of contents, options, metadata, results, outputs, errors, questions and answers. "
        "Images and files are parts of contents."
    )
    events: int
    event_bytes: int = Field(description="UTF-8 bytes of the data of events.")
    memory_bytes: int | None = Field(
        description="Bytes of what the agents remember, as the engine stores it. Null if the agents' memory is away."
    )
    total_bytes: int = Field(description="All of these bytes.")


def size_fields(sizes: MessageSizes, memory_bytes: int | None, total_bytes: int) -> dict[str, Any]:
    """Return the fields of SizesView."""
    return {**sizes._asdict(), "memory_bytes": memory_bytes, "total_bytes": total_bytes}


class ThreadSizesView(SizesView):
    """The storage of one thread."""

    thread_id: str

    @classmethod
    def of(cls, thread: ThreadStorage) -> "ThreadSizesView":
        """Return the view of a thread."""
        fields = size_fields(thread.sizes, thread.memory_bytes, thread.total_bytes)
        return cls.model_construct(thread_id=thread.thread_id, **fields)


class ThreadStorageView(ThreadSizesView, MeasuredView):  # the fields of the last class come first
    """The storage of one thread, and the time of its measurement."""

    model_config = example(**MEASURED, **SIZES, memory_bytes=350_000, total_bytes=14_850_000, thread_id=THREAD_ID)

    @classmethod
    def of_measured(cls, stored: Stored, thread: ThreadStorage) -> "ThreadStorageView":
        """Return the view of a thread and of its measurement."""
        fields = size_fields(thread.sizes, thread.memory_bytes, thread.total_bytes)
        return cls.model_construct(thread_id=thread.thread_id, **measured_fields(stored), **fields)


class LargestThreads(MeasuredView):
    """The largest threads of a tenant, the largest first."""

    model_config = example(
        **MEASURED,
        tenant="default",
        threads=[{"thread_id": THREAD_ID, **SIZES, "memory_bytes": 350_000, "total_bytes": 14_850_000}],
    )

    tenant: str
    threads: list[ThreadSizesView] = Field(description="At most the 1,000 largest ones, in pages.")

    @classmethod
    def of(cls, stored: Stored, threads: Sequence[ThreadStorage]) -> "LargestThreads":
        """Return a page of threads."""
        views = list(map(ThreadSizesView.of, threads))
        return cls.model_construct(tenant=stored.tenant, threads=views, **measured_fields(stored))


class TenantStorageView(SizesView, MeasuredView):
    """The storage of one tenant, and how long it is kept."""

    tenant: str
    threads: int
    items: int = Field(description="Number of items that agents keep across threads.")
    item_bytes: int = Field(description="UTF-8 bytes of the values of items.")
    retention_days: float = Field(description="Days after their end until messages of the tenant are deleted.")
    event_retention_hours: float = Field(description="Hours after its end until the events of a message are deleted.")

    @classmethod
    def of(cls, tenant: StoredOfTenant, settings: Settings) -> "TenantStorageView":
        """Return the view of a tenant."""
        found, own = tenant.stored.found, tenant.settings
        days, hours = own.retention_days, own.event_retention_hours
        return cls.model_construct(
            **measured_fields(tenant.stored),
            **size_fields(found.sizes, found.memory_bytes, found.total_bytes),
            tenant=tenant.stored.tenant,
            threads=found.threads,
            items=found.items,
            item_bytes=found.item_bytes,
            retention_days=settings.retention_days if days is None else days,
            event_retention_hours=settings.event_retention_hours if hours is None else hours,
        )


class AreaView(BaseModel):
    """A part of what the engine uses up."""

    name: str = Field(
        description="`total`, and parts of it or what lies beside it: files, tables with their indexes, logs, `unused` "
        "space in a file, `memory` for the file of the agents' memory."
    )
    bytes: int | None = Field(description="Null if the engine does not tell.")
    rows: int | None = Field(description="Rows or keys, which may be the engine's estimate. Null if it has none.")


class StorageSetting(BaseModel):
    """A setting that decides how much is kept, or for how long."""

    name: str
    value: float
    default: float
    meaning: str


class StorageReport(BaseModel):
    """The storage of tenants and of the engine, and the settings that decide about it."""

    model_config = example(
        tenants=[
            {
                **MEASURED,
                "tenant": "default",
                "threads": 40,
                **SIZES,
                "memory_bytes": 350_000,
                "items": 12,
                "item_bytes": 4_000,
                "total_bytes": 14_854_000,
                "retention_days": 30.0,
                "event_retention_hours": 24.0,
            }
        ],
        engine=[
            {"name": "total", "bytes": 31_000_000, "rows": None},
            {"name": "file", "bytes": 27_000_000, "rows": None},
            {"name": "wal", "bytes": 4_000_000, "rows": None},
        ],
        settings=[
            {
                "name": "RETENTION_DAYS",
                "value": 30.0,
                "default": 30.0,
                "meaning": "Days after their end until messages are deleted.",
            }
        ],
    )

    tenants: list[TenantStorageView] = Field(description="By their names.")
    engine: list[AreaView] | None = Field(
        description="What the database uses up for all tenants. Null for callers without the scope `admin`."
    )
    settings: list[StorageSetting] = Field(description="The settings of the process that answers.")

    @classmethod
    def of(
        cls, tenants: Sequence[StoredOfTenant], engine: Sequence[StorageArea] | None, settings: Settings
    ) -> "StorageReport":
        """Return the report."""
        return cls.model_construct(
            tenants=[TenantStorageView.of(each, settings) for each in tenants],
            engine=None if engine is None else [AreaView.model_construct(**area._asdict()) for area in engine],
            settings=_settings_of(settings),
        )


def _settings_of(settings: Settings) -> list[StorageSetting]:
    known = {each.name: each for each in shown_settings(settings)}
    return [StorageSetting.model_validate(known[name]._asdict()) for name in SETTINGS]
