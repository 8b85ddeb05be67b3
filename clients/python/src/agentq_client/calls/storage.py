"""The calls about what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import models
from ..core.requests import Call
from ..models.base import list_reader, reader
from .fields import given_of
from .threads import thread_path


def report(query: Mapping[str, Any]) -> Call[models.StorageReport]:
    """Return the call of `GET /storage`."""
    return Call("GET", "/storage", reader(models.StorageReport), query=given_of(query))


def tenants(query: Mapping[str, Any]) -> Call[list[models.TenantStorage]]:
    """Return the call of `GET /storage` for the tenants alone."""
    return Call("GET", "/storage", list_reader(models.TenantStorage, "tenants"), query=given_of(query))


def threads(query: Mapping[str, Any]) -> Call[list[models.ThreadSizes]]:
    """Return the call of `GET /storage/threads`."""
    return Call("GET", "/storage/threads", list_reader(models.ThreadSizes, "threads"), query=given_of(query))


def thread(thread_id: str, query: Mapping[str, Any]) -> Call[models.ThreadStorage]:
    """Return the call of `GET /threads/{thread_id}/storage`."""
    return Call("GET", thread_path(thread_id, "/storage"), reader(models.ThreadStorage), query=given_of(query))
