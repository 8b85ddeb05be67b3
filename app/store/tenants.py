"""Converts rows to the records of tenants."""

import json
from collections.abc import Sequence
from typing import Any

from ..clock import to_datetime
from ..models.tenants import Quotas, Tenant, TenantLimits, TenantSettings

TENANT_COLUMNS = (
    "tenant", "weight", "limits", "quotas", "subject_quotas", "retention_days", "event_retention_hours", "revision",
    "created_at", "changed_at",
)  # fmt: skip
"""The columns of the record of a tenant in every store."""


def to_tenant(row: Sequence[Any]) -> Tenant:
    """Return the record of a tenant from a row of TENANT_COLUMNS. Numbers may be texts."""
    tenant, weight, limits, quotas, subject_quotas, *retention, revision, created_at, changed_at = row
    settings = TenantSettings(
        float(weight),
        TenantLimits(**json.loads(limits)),
        Quotas(**json.loads(quotas)),
        Quotas(**json.loads(subject_quotas)),
        *(None if each is None else float(each) for each in retention),
    )
    return Tenant(tenant, settings, int(revision), to_datetime(int(created_at)), to_datetime(int(changed_at)))
