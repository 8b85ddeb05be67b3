"""The endpoints for statistics."""

from enum import IntEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response

from ..access.scopes import AccessScope, needs
from ..models.statistics import Metric, SeriesGrouping
from ..models.types import DayOrTime
from ..statistics_manager import WantedSeries
from .deps import PrincipalDep, ServicesDep
from .errors import problems
from .listing import Name
from .replies import JsonReply
from .schemas.statistics import SeriesList, StatisticsView

router = APIRouter(tags=["queue"])


class Step(IntEnum):
    """The distance between two points, in seconds."""

    MINUTE = 60
    FIVE_MINUTES = 300
    HOUR = 3600
    DAY = 86400


Since = Annotated[DayOrTime | None, Query(description="The begin of the window: a time of RFC 3339 or a date.")]
Until = Annotated[DayOrTime | None, Query(description="The end of the window. Now by default.")]
AgentName = Annotated[Name | None, Query(description="Only messages of this agent.")]


@router.get(
    "/stats",
    operation_id="getStatistics",
    summary="See statistics",
    response_model=StatisticsView,
    responses=problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def get_statistics(
    services: ServicesDep,
    principal: PrincipalDep,
    since: Since = None,
    until: Until = None,
    agent: AgentName = None,
) -> Response:
    """Return the messages by state now, and what happened in a window: by default in the last hour.

    Windows of up to 3 hours are added up from minutes, up to 5 days from hours, longer ones from days. Figures stay
    when their messages are deleted. Callers who may see only some messages of the tenant are refused.
    """
    found = await services.statistics.overview(principal, since=since, until=until, agent=agent)
    view = StatisticsView.of(found, aging=services.settings.priority_aging_seconds > 0)
    return JsonReply(view.model_dump_json())


@router.get(
    "/stats/series",
    operation_id="getStatisticsSeries",
    summary="See a metric over time",
    response_model=SeriesList,
    responses=problems(403, 422, 503),
)
@needs(AccessScope.READ)
async def get_statistics_series(
    services: ServicesDep,
    principal: PrincipalDep,
    metric: Annotated[Metric, Query(description="What to show.")],
    step: Annotated[Step, Query(description="Seconds between two points.")] = Step.MINUTE,
    since: Annotated[
        DayOrTime | None,
        Query(
            description="The begin of the window: a time of RFC 3339 or a date. 60 points before its end by default."
        ),
    ] = None,
    until: Until = None,
    agent: AgentName = None,
    group_by: Annotated[
        SeriesGrouping | None,
        Query(
            description="A series for each value: `state` only for `ended`, `code` only for `failed`, `tenant` only "
            "with the scope `admin`."
        ),
    ] = None,
) -> Response:
    """Return the points of a metric, at most 1,500. Steps in which nothing happened have points with 0."""
    wanted = WantedSeries(metric, step.value, since, until, agent, group_by)
    found = await services.statistics.series(principal, wanted)
    return JsonReply(SeriesList.of(metric.value, step.value, found).model_dump_json())
