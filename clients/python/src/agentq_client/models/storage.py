"""Storage, and how long it is kept."""

from __future__ import annotations

from datetime import datetime

from .base import Model


class Measured(Model):
    """The time of a measurement: `as_of` is its begin. Without `complete`, the figures are still too low.

    `measuring` tells whether a newer measurement runs.
    """

    as_of: datetime
    complete: bool = True
    measuring: bool = False


class StoredSizes(Model):
    """Rows and bytes of content. `memory_bytes` is None if the agents' memory is away."""

    messages: int
    message_bytes: int
    events: int
    event_bytes: int
    memory_bytes: int | None = None
    total_bytes: int


class ThreadSizes(StoredSizes):
    """The storage of one of the largest threads."""

    thread_id: str


class ThreadStorage(Measured, ThreadSizes):
    """The storage of one thread."""


class TenantStorage(Measured, StoredSizes):
    """The storage of one tenant, and how long it is kept."""

    tenant: str
    threads: int
    items: int
    item_bytes: int
    retention_days: float
    event_retention_hours: float


class StorageArea(Model):
    """A part of what the engine uses up: a file, a table, a log. The first one is `total`."""

    name: str
    bytes: int | None = None
    rows: int | None = None


class StorageSetting(Model):
    """A setting that decides how much is kept, or for how long."""

    name: str
    value: float
    default: float
    meaning: str = ""


class StorageReport(Model):
    """The storage of tenants. `engine` is None for callers without the scope `admin`."""

    tenants: list[TenantStorage] = []
    engine: list[StorageArea] | None = None
    settings: list[StorageSetting] = []
