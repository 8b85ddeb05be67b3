"""Settings of a tenant: its share, its limits, its quotas, and how long its messages are kept."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

DEFAULT_WEIGHT = 1.0
MIN_WEIGHT = 0.1
MAX_WEIGHT = 100.0

MIN_RETENTION = 0.001
"""Shortest retention, in days or hours. Zero would delete messages before anybody can read them."""

MAX_RETENTION_DAYS = 36_500
MAX_RETENTION_HOURS = 876_000

MAX_COUNT = 10**12
"""Highest limit or quota."""


class TenantLimits(NamedTuple):
    """How much a tenant may do at a time. None stands for the server's setting, 0 for no limit.

    `subject_submits_per_minute` counts for each end user. `streams` are open streams and WebSockets in one process.
    `running` are messages that run at the same time, on all workers together.
    """

    submits_per_minute: int | None = None
    subject_submits_per_minute: int | None = None
    streams: int | None = None
    queued: int | None = None
    running: int | None = None


class Quotas(NamedTuple):
    """How much may be used in a day or a month of UTC. None stands for no quota."""

    messages_per_day: int | None = None
    messages_per_month: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None

    @property
    def has_tokens(self) -> bool:
        """Return whether there is a quota of tokens."""
        return self.tokens_per_day is not None or self.tokens_per_month is not None


NO_LIMITS = TenantLimits()
NO_QUOTAS = Quotas()


class TenantSettings(NamedTuple):
    """The settings of a tenant. `weight` is its share of the workers beside other tenants.

    `subject_quotas` count for each end user. `retention_days` and `event_retention_hours` None stand for the server's
    settings.
    """

    weight: float = DEFAULT_WEIGHT
    limits: TenantLimits = NO_LIMITS
    quotas: Quotas = NO_QUOTAS
    subject_quotas: Quotas = NO_QUOTAS
    retention_days: float | None = None
    event_retention_hours: float | None = None


DEFAULT_SETTINGS = TenantSettings()
"""The settings of a tenant without a record."""


class Tenant(NamedTuple):
    """The record of a tenant. Each change gives it another `revision`."""

    tenant: str
    settings: TenantSettings
    revision: int
    created_at: datetime
    changed_at: datetime


def given_of(counts: NamedTuple) -> Mapping[str, int]:
    """Return the limits or quotas that are given, by name."""
    return {name: value for name, value in counts._asdict().items() if value is not None}


def fields_of(settings: TenantSettings) -> dict[str, Any]:
    """Return settings as JSON has them."""
    parts = (("limits", settings.limits), ("quotas", settings.quotas), ("subject_quotas", settings.subject_quotas))
    return {**settings._asdict(), **{name: counts._asdict() for name, counts in parts}}
