"""Bodies of requests for tenants, and replies with tenants."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ...models.tenants import (
    MAX_COUNT,
    MAX_RETENTION_DAYS,
    MAX_RETENTION_HOURS,
    MAX_WEIGHT,
    MIN_RETENTION,
    MIN_WEIGHT,
    Tenant,
)
from ...models.types import Moment
from .examples import CREATED, example

LIMITS_EXAMPLE: dict[str, Any] = {
    "submits_per_minute": 600,
    "subject_submits_per_minute": 30,
    "streams": 100,
    "queued": 500,
    "running": 10,
}
QUOTAS_EXAMPLE: dict[str, Any] = {
    "messages_per_day": 10_000,
    "messages_per_month": 100_000,
    "tokens_per_day": 5_000_000,
    "tokens_per_month": 50_000_000,
}
SMALL_QUOTAS_EXAMPLE: dict[str, Any] = {name: count // 100 for name, count in QUOTAS_EXAMPLE.items()}

Limit = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Quota = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
Weight = Annotated[float, Field(strict=True, ge=MIN_WEIGHT, le=MAX_WEIGHT, allow_inf_nan=False)]
Days = Annotated[float, Field(strict=True, ge=MIN_RETENTION, le=MAX_RETENTION_DAYS, allow_inf_nan=False)]
Hours = Annotated[float, Field(strict=True, ge=MIN_RETENTION, le=MAX_RETENTION_HOURS, allow_inf_nan=False)]


class LimitsView(BaseModel):
    """Limits of a tenant. Null stands for the server's setting, 0 for no limit."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [LIMITS_EXAMPLE]})

    submits_per_minute: Limit | None = Field(None, description="Messages that the tenant may submit in a minute.")
    subject_submits_per_minute: Limit | None = Field(
        None, description="Messages that may be submitted in a minute for each end user."
    )
    streams: Limit | None = Field(None, description="Open streams and WebSockets in each process.")
    queued: Limit | None = Field(None, description="Messages that may be queued.")
    running: Limit | None = Field(None, description="Messages that run at the same time, on all workers together.")


class QuotasView(BaseModel):
    """Quotas in a day or a month of UTC. Null stands for no quota."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [QUOTAS_EXAMPLE]})

    messages_per_day: Quota | None = None
    messages_per_month: Quota | None = None
    tokens_per_day: Quota | None = Field(None, description="Input and output tokens of model calls.")
    tokens_per_month: Quota | None = None


class TenantChange(BaseModel):
    """The settings to change. Fields that are not given stay as they are. Null gives a field its default."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"weight": 2, "limits": {"queued": 500, "streams": None}}]}
    )

    weight: Weight | None = Field(
        None, description="The share of the workers beside other tenants: 2 gets twice as much as 1, the default."
    )
    limits: LimitsView | None = None
    quotas: QuotasView | None = Field(None, description="Quotas of the whole tenant.")
    subject_quotas: QuotasView | None = Field(None, description="Quotas of each end user.")
    retention_days: Days | None = Field(
        None,
        description="Days to keep finished messages, and threads without messages, instead of `RETENTION_DAYS`.",
    )
    event_retention_hours: Hours | None = Field(
        None,
        description="Hours to keep the events of finished messages, instead of `EVENT_RETENTION_HOURS`.",
    )


class TenantView(BaseModel):
    """The record of a tenant."""

    model_config = example(
        tenant="acme",
        weight=2.0,
        limits=LIMITS_EXAMPLE,
        quotas=QUOTAS_EXAMPLE,
        subject_quotas=SMALL_QUOTAS_EXAMPLE,
        retention_days=90.0,
        event_retention_hours=48.0,
        created_at=CREATED,
        changed_at=CREATED,
    )

    tenant: str
    weight: float
    limits: LimitsView
    quotas: QuotasView
    subject_quotas: QuotasView
    retention_days: float | None
    event_retention_hours: float | None
    created_at: Moment
    changed_at: Moment

    @classmethod
    def of(cls, record: Tenant) -> "TenantView":
        """Return the view of a record."""
        settings = record.settings
        views = {
            "limits": LimitsView.model_construct(**settings.limits._asdict()),
            "quotas": QuotasView.model_construct(**settings.quotas._asdict()),
            "subject_quotas": QuotasView.model_construct(**settings.subject_quotas._asdict()),
        }
        times = {"created_at": record.created_at, "changed_at": record.changed_at}
        return cls.model_construct(tenant=record.tenant, **{**settings._asdict(), **views, **times})


class TenantList(BaseModel):
    """Records of tenants, by name."""

    tenants: list[TenantView]
