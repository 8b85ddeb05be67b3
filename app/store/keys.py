"""Converts rows to API keys."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..clock import to_datetime
from ..models.keys import ApiKey, KeyLimits
from ..models.tenants import Quotas

KEY_COLUMNS = ApiKey._fields
"""The columns of an API key in every store."""


def to_key(row: Sequence[Any]) -> ApiKey:
    """Return an API key from a row of KEY_COLUMNS."""
    key_id, tenant, name, scopes, created_at, *times, secret_hash, previous_hash = row[:10]
    previous_until, url, signs, limits, quotas = row[10:]
    expires_at, revoked_at, last_used_at = map(_moment, times)
    return ApiKey(
        key_id, tenant, name, tuple(scopes.split()), to_datetime(created_at), expires_at, revoked_at, last_used_at,
        secret_hash, previous_hash, _moment(previous_until), url, bool(signs), KeyLimits(**json.loads(limits)),
        Quotas(**json.loads(quotas)),
    )  # fmt: skip


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else to_datetime(milliseconds)
