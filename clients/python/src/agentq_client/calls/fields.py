"""Fields of requests, which several calls have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.replies import Reply
from ..options import time_text


def nothing(_: Reply) -> None:
    """Read a reply without a body."""


def once(idempotency_key: str | None) -> dict[str, str]:
    """Return the header of a key that the caller has chosen."""
    return {} if idempotency_key is None else {"idempotency-key": idempotency_key}


def given_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not None, with times as texts."""
    return {name: time_text(value) for name, value in fields.items() if value is not None}


def by_metadata(query: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a query that also asks for these metadata."""
    return {**query, **{f"metadata.{name}": value for name, value in (metadata or {}).items()}}
