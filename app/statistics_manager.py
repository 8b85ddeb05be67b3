"""Reads statistics for callers: the queue now, and figures over time."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from .access.principals import Principal
from .access.scopes import AccessScope
from .access.visible import require_all
from .clock import to_milliseconds
from .errors import Forbidden, InvalidRequest
from .models.messages import MessageState, Priority
from .models.statistics import (
    DAY,
    ENDS,
    HOUR,
    STORED,
    FigureQuery,
    Metric,
    Overview,
    QueueFigures,
    Series,
    SeriesGrouping,
    SeriesQuery,
)
from .models.workers import Throughput, Worker
from .policy.statistics_reports import begin_of, figures_for, overview_of, series_of, step_for
from .store.limits import MINUTES_KEPT_SECONDS
from .store.ports import AcceptStore, QueryStore, StatisticsStore, WorkerStore

DEFAULT_SECONDS = 3600
"""The window of an overview without `since`."""

DEFAULT_POINTS = 60
MOST_POINTS = 1_500
"""Number of points of a series without `since`, and the highest number, also of the periods of an overview."""

LATEST_SECONDS = DAY
"""How far after now a window may end, for callers who ask for the whole of today in their time zone."""


class ManagedStatistics(AcceptStore, QueryStore, StatisticsStore, WorkerStore, Protocol):
    """The ports that the statistics manager needs."""


class ServerFigures(NamedTuple):
    """The queue of all tenants and its workers at one moment."""

    figures: QueueFigures
    throughput: Throughput
    workers: list[Worker]


class Statistics(NamedTuple):
    """The messages of the tenant by state, the queued ones by priority, and its figures.

    `server` is None for callers without the scope `admin`.
    """

    totals: Mapping[MessageState, int]
    queued_by_priority: Mapping[Priority, int]
    overview: Overview
    server: ServerFigures | None


class WantedSeries(NamedTuple):
    """A series as a caller asks for it."""

    metric: Metric
    step: int
    since: datetime | None = None
    until: datetime | None = None
    agent: str | None = None
    by: SeriesGrouping | None = None


class StatisticsManager:
    """Reads statistics. Figures are kept for `retention_days`, those of minutes for MINUTES_KEPT_SECONDS."""

    def __init__(self, store: ManagedStatistics, *, retention_days: float) -> None:
        self._store = store
        self._kept_seconds = retention_days * DAY

    async def overview(
        self, caller: Principal, *, since: datetime | None, until: datetime | None, agent: str | None
    ) -> Statistics:
        """Return the queue now and the figures of a window, by default of the last hour.

        Raises Forbidden for a caller who may not see all of their tenant, InvalidRequest for a wrong window.
        """
        require_all(caller)
        now = to_milliseconds(self._store.now())
        end = now if until is None else to_milliseconds(until)
        begin = end - DEFAULT_SECONDS * 1000 if since is None else to_milliseconds(since)
        self._check_window(begin, end, now)
        step = step_for((end - begin) / 1000)
        if (end - begin) // (DAY * 1000) >= MOST_POINTS:
            raise InvalidRequest(f"since: expected a time less than {MOST_POINTS:,} days before `until`", field="since")
        if now - begin > MINUTES_KEPT_SECONDS * 1000:
            step = max(step, HOUR)
        query = FigureQuery(STORED, step, begin_of(begin, step), begin_of(end - 1, step) + step * 1000, agent)
        summary, figures, server = await asyncio.gather(
            self._store.summary(caller.tenant, limit=1),
            self._store.read_figures(caller.tenant, query),
            self._server_figures(caller),
        )
        return Statistics(summary.totals, summary.queued_by_priority, overview_of(figures, query), server)

    async def series(self, caller: Principal, wanted: WantedSeries) -> list[Series]:
        """Return a series, by default of DEFAULT_POINTS points that end now.

        Raises Forbidden for a caller who may not see all of their tenant, and without the scope `admin` for a series by
        tenant. Raises InvalidRequest for a wrong window or grouping, and for more than MOST_POINTS points.
        """
        require_all(caller)
        by_tenant = wanted.by is SeriesGrouping.TENANT
        if by_tenant and AccessScope.ADMIN not in caller.scopes:
            raise Forbidden("group_by: figures of all tenants need the scope `admin`.")
        query = self._checked(wanted)
        figures = await self._store.read_figures(None if by_tenant else caller.tenant, figures_for(query))
        return series_of(figures, query)

    async def _server_figures(self, caller: Principal) -> ServerFigures | None:
        if AccessScope.ADMIN not in caller.scopes:
            return None
        store = self._store
        return ServerFigures(*await asyncio.gather(store.queue_figures(), store.throughput(), store.list_workers()))

    def _checked(self, wanted: WantedSeries) -> SeriesQuery:
        metrics = ENDS if wanted.metric is Metric.ENDED else (wanted.metric,)
        if wanted.by is SeriesGrouping.STATE and wanted.metric is not Metric.ENDED:
            raise InvalidRequest("group_by: only the metric `ended` is divided by state", field="group_by")
        if wanted.by is SeriesGrouping.CODE and wanted.metric is not Metric.FAILED:
            raise InvalidRequest("group_by: only the metric `failed` is divided by error code", field="group_by")
        now, length = to_milliseconds(self._store.now()), wanted.step * 1000
        end = now if wanted.until is None else to_milliseconds(wanted.until)
        if wanted.since is None:
            kept_from = now - int(self._kept_seconds * 1000)
            begin = max(kept_from, begin_of(end - 1, wanted.step) - (DEFAULT_POINTS - 1) * length)
        else:
            begin = to_milliseconds(wanted.since)
        self._check_window(begin, end, now)
        since, until = begin_of(begin, wanted.step), begin_of(end - 1, wanted.step) + length
        points = (until - since) // length
        if points > MOST_POINTS:
            raise InvalidRequest(
                f"step: this window has {points:,} points, and at most {MOST_POINTS:,} are possible. Use a longer step "
                "or a later `since`",
                field="step",
            )
        if wanted.step < HOUR and now - begin > MINUTES_KEPT_SECONDS * 1000:
            raise InvalidRequest(
                f"since: figures of minutes are kept for {MINUTES_KEPT_SECONDS // HOUR} hours. Use step=3600",
                field="since",
            )
        return SeriesQuery(metrics, wanted.step, since, until, wanted.agent, wanted.by)

    def _check_window(self, begin: int, end: int, now: int) -> None:
        """Raise InvalidRequest unless the window is a time for which figures may be kept.

        A store may look each period of a window up, so the future is left out.
        """
        if end > now + LATEST_SECONDS * 1000:
            raise InvalidRequest("until: expected a time at most a day from now", field="until")
        if begin >= end:
            raise InvalidRequest("since: expected a time before `until`", field="since")
        if now - begin > self._kept_seconds * 1000:
            raise InvalidRequest(
                f"since: figures are kept for {self._kept_seconds / DAY:g} days (STATS_RETENTION_DAYS)", field="since"
            )
