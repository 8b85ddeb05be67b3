"""Replies with statistics."""

from pydantic import BaseModel, Field

from ...clock import to_datetime
from ...models.messages import MessageState, Priority
from ...models.statistics import COUNTS, Metric, Overview, Series, SeriesPoint, Times
from ...models.types import Moment
from ...models.usage import Tokens
from ...statistics_manager import ServerFigures, Statistics
from .examples import CREATED, example

SECONDS = {"count": 120, "mean": 2.1, "p50": 1.4, "p95": 6.2, "p99": 9.3}
PARTS = ("mean", "p50", "p95", "p99")
HAPPENED = {metric.value: 0 for metric in COUNTS} | {"accepted": 130, "completed": 120}
USED = {
    "calls": 120,
    "input_tokens": 30412,
    "output_tokens": 9120,
    "cached_tokens": 0,
    "reasoning_tokens": 0,
    "cost": "0.1672",
    "cost_complete": True,
}


class TimesView(BaseModel):
    """How long something took, in seconds. Percentiles are estimated from buckets; null where nothing was measured."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, times: Times) -> "TimesView":
        """Return the view of times, to the millisecond."""
        count, *seconds = times
        rounded = [None if value is None else round(value, 3) for value in seconds]
        return cls.model_construct(count=count, **dict(zip(PARTS, rounded, strict=True)))  # type: ignore[arg-type]  # fields


class ErrorCount(BaseModel):
    """How many messages failed with an error code."""

    code: str
    count: int


class TokensView(BaseModel):
    """Model calls, their tokens and their cost in US dollars."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int = Field(description="A part of `input_tokens`.")
    reasoning_tokens: int = Field(description="A part of `output_tokens`.")
    cost: str | None = Field(description="Null if no call has a known price.")
    cost_complete: bool = Field(description="Whether the price of every call is known.")

    @classmethod
    def of(cls, tokens: Tokens) -> "TokensView":
        """Return the view of tokens."""
        return cls.model_construct(**{name: getattr(tokens, name) for name in cls.model_fields})


class ServerNow(BaseModel):
    """The queue of all tenants and its workers at this moment."""

    waiting: dict[str, int] = Field(
        description="Messages that wait for a worker or for their thread, by the priority of their place in the claim "
        "order. With `PRIORITY_AGING_SECONDS` there is one order, `all`."
    )
    oldest_seconds: dict[str, float] = Field(description="How long the first of them in the claim order has waited.")
    delayed: int
    processing: int
    interrupted: int
    dead_letters: int
    paused: bool
    workers: int = Field(description="Live workers.")
    slots: int = Field(description="Messages that they can run at a time; drained workers have none.")
    slots_busy: int

    @classmethod
    def of(cls, server: ServerFigures, *, aging: bool) -> "ServerNow":
        """Return the view of the figures. `aging` is whether PRIORITY_AGING_SECONDS is set."""
        figures, throughput, workers = server
        names = {0: "all"} if aging else {priority.level: priority.value for priority in Priority}
        return cls.model_construct(
            waiting={name: figures.waiting.get(level, 0) for level, name in names.items()},
            oldest_seconds={
                name: figures.oldest_seconds[level] for level, name in names.items() if level in figures.oldest_seconds
            },
            delayed=figures.delayed,
            processing=figures.processing,
            interrupted=figures.interrupted,
            dead_letters=figures.failed,
            paused=throughput.paused,
            workers=len(workers),
            slots=throughput.slots,
            slots_busy=throughput.running,
        )


class StatisticsView(BaseModel):
    """The queue now, and what happened in a window of time."""

    model_config = example(
        since=CREATED,
        until="2024-01-15T11:30:00.000Z",
        step=60,
        messages={state.value: 0 for state in MessageState} | {"completed": 4023},
        queued_by_priority={priority.value: 0 for priority in Priority},
        counts=HAPPENED,
        completed_per_minute=2.0,
        error_rate=0.008,
        errors=[{"code": "agent_error", "count": 1}],
        wait=SECONDS,
        first_token=SECONDS,
        run=SECONDS,
        tokens=USED,
        server=None,
    )

    since: Moment = Field(description="The begin of the window, rounded down to a period.")
    until: Moment = Field(description="The end of the window, rounded up to a period.")
    step: int = Field(description="The length of the periods from which the window is added up, in seconds.")
    messages: dict[MessageState, int] = Field(description="The tenant's messages by state, now.")
    queued_by_priority: dict[Priority, int] = Field(
        description="The tenant's queued messages by their own priorities, those for a later time included."
    )
    counts: dict[str, int] = Field(
        description="What happened in the window: `started` counts first attempts, `retried` failed attempts that "
        "another follows, `released` attempts that a worker put back, `lost` those whose worker was lost."
    )
    completed_per_minute: float
    error_rate: float | None = Field(description="The share of failed messages in those that ended; null if none did.")
    errors: list[ErrorCount] = Field(description="The ten most frequent error codes of failed messages.")
    wait: TimesView = Field(description="From the submit, or from `run_at`, to the first attempt.")
    first_token: TimesView = Field(
        description="From the first attempt to the first piece of the answer, of messages that completed."
    )
    run: TimesView = Field(description="From the first attempt to the end, of messages that completed.")
    tokens: TokensView = Field(description="What was used in the window, by the time of the calls.")
    server: ServerNow | None = Field(description="Null for callers without the scope `admin`.")

    @classmethod
    def of(cls, statistics: Statistics, *, aging: bool) -> "StatisticsView":
        """Return the view of statistics. `aging` is whether PRIORITY_AGING_SECONDS is set."""
        totals, queued, overview, server = statistics
        counts = overview.counts
        ended = counts[Metric.ENDED]
        return cls.model_construct(
            since=to_datetime(overview.since),
            until=to_datetime(overview.until),
            step=overview.step,
            messages=dict(totals),
            queued_by_priority=dict(queued),
            counts={metric.value: count for metric, count in counts.items()},
            completed_per_minute=round(counts[Metric.COMPLETED] / _minutes(overview), 3),
            error_rate=round(counts[Metric.FAILED] / ended, 4) if ended else None,
            errors=[ErrorCount.model_construct(code=code, count=count) for code, count in overview.errors.items()],
            wait=TimesView.of(overview.wait),
            first_token=TimesView.of(overview.first_token),
            run=TimesView.of(overview.run),
            tokens=TokensView.of(overview.tokens),
            server=None if server is None else ServerNow.of(server, aging=aging),
        )


def _minutes(overview: Overview) -> float:
    return (overview.until - overview.since) / 60_000


class Point(BaseModel):
    """One step of a series. Percentiles and mean are in seconds, and null for counts and where nothing was measured."""

    at: Moment = Field(description="The begin of the step.")
    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    tokens: TokensView | None = Field(description="Only of the metric `usage`, whose `count` is the number of calls.")

    @classmethod
    def of(cls, point: SeriesPoint) -> "Point":
        """Return the view of a point."""
        tokens = None if point.tokens is None else TokensView.of(point.tokens)
        return cls.model_construct(at=to_datetime(point.at), tokens=tokens, **TimesView.of(point.times).__dict__)


class SeriesView(BaseModel):
    """The points of one group, oldest first; of everything without `group_by`."""

    group: str | None
    points: list[Point]


class SeriesList(BaseModel):
    """A metric over time. Groups with the most come first; from the 21st on they are added up as `other`."""

    model_config = example(
        metric="wait",
        step=60,
        series=[{"group": None, "points": [{"at": CREATED, **SECONDS, "tokens": None}]}],
    )

    metric: str
    step: int
    series: list[SeriesView]

    @classmethod
    def of(cls, metric: str, step: int, series: list[Series]) -> "SeriesList":
        """Return the view of series."""
        views = [
            SeriesView.model_construct(group=each.group, points=[Point.of(point) for point in each.points])
            for each in series
        ]
        return cls.model_construct(metric=metric, step=step, series=views)
