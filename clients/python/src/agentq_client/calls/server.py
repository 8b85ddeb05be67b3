"""The calls about the server, its agents, its figures and its changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import models
from ..core.requests import Call, segment
from ..models.base import list_reader, reader, text
from ..options import OneOrMore, texts
from .fields import given_of


def about() -> Call[models.About]:
    """Return the call of `GET /`."""
    return Call("GET", "/", reader(models.About))


def health() -> Call[models.Health]:
    """Return the call of `GET /health`."""
    return Call("GET", "/health", reader(models.Health))


def live() -> Call[models.Alive]:
    """Return the call of `GET /health/live`."""
    return Call("GET", "/health/live", reader(models.Alive))


def ready() -> Call[models.Health]:
    """Return the call of `GET /health/ready`."""
    return Call("GET", "/health/ready", reader(models.Health))


def metrics() -> Call[str]:
    """Return the call of `GET /metrics`."""
    return Call("GET", "/metrics", text, headers={"accept": "text/plain"})


def doctor() -> Call[models.Report]:
    """Return the call of `GET /doctor`."""
    return Call("GET", "/doctor", reader(models.Report))


def settings() -> Call[list[models.Setting]]:
    """Return the call of `GET /settings`."""
    return Call("GET", "/settings", list_reader(models.Setting, "settings"))


def agents() -> Call[list[models.Agent]]:
    """Return the call of `GET /agents`."""
    return Call("GET", "/agents", list_reader(models.Agent, "agents"))


def agent(name: str) -> Call[models.Agent]:
    """Return the call of `GET /agents/{name}`."""
    return Call("GET", f"/agents/{segment(name)}", reader(models.Agent))


def usage(query: Mapping[str, Any]) -> Call[list[models.UsageRow]]:
    """Return the call of `GET /usage`."""
    return Call("GET", "/usage", list_reader(models.UsageRow, "rows"), query=given_of(query))


def quotas(query: Mapping[str, Any]) -> Call[list[models.QuotaUse]]:
    """Return the call of `GET /usage` for the quotas alone."""
    read = list_reader(models.QuotaUse, "quotas")
    return Call("GET", "/usage", read, query={**given_of(query), "group_by": "", "limit": 1})


def usage_csv(query: Mapping[str, Any]) -> Call[str]:
    """Return the call of `GET /usage` for CSV."""
    return Call("GET", "/usage", text, query={**given_of(query), "format": "csv"}, headers={"accept": "text/csv"})


def statistics(query: Mapping[str, Any]) -> Call[models.Statistics]:
    """Return the call of `GET /stats`."""
    return Call("GET", "/stats", reader(models.Statistics), query=given_of(query))


def series(query: Mapping[str, Any]) -> Call[models.SeriesList]:
    """Return the call of `GET /stats/series`."""
    return Call("GET", "/stats/series", reader(models.SeriesList), query=given_of(query))


def changes_of(
    types: OneOrMore | None, states: OneOrMore | None, agent: str | None, thread_id: str | None
) -> dict[str, Any]:
    """Return the query for some changes. None stands for all."""
    return {"type": texts(types), "state": texts(states), "agent": agent, "thread_id": thread_id}


def changes(query: Mapping[str, Any]) -> Call[models.ChangePage]:
    """Return the call of `GET /events` for a page."""
    return Call("GET", "/events", reader(models.ChangePage), query=query)
