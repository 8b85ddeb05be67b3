"""Figures about the queue: those of all tenants at one moment, and those of a tenant over time."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from .usage import Tokens

MINUTE, HOUR, DAY = 60, 3600, 86400
STEPS = (MINUTE, HOUR, DAY)
"""Lengths of the periods for which figures are kept, in seconds."""


class QueueFigures(NamedTuple):
    """The unfinished messages and the dead letters of all tenants at one moment.

    `waiting` counts the messages that wait for a worker or for their thread, by level of the claim order. A level is
    that of a priority. With PRIORITY_AGING_SECONDS, all messages are in level 0. `oldest_seconds` says for each such
    level how long ago the first message in the claim order was accepted, or was to run. `delayed` counts messages whose
    time has not come.
    """

    waiting: Mapping[int, int]
    oldest_seconds: Mapping[int, float]
    delayed: int
    processing: int
    interrupted: int
    failed: int


class Metric(StrEnum):
    """The figures that are kept for each period, agent and priority.

    STARTED counts first attempts. LOST counts attempts whose worker was lost. USAGE adds up calls of models, when they
    are stored: its labels are the fields of `Tokens`. The last three are histograms: their labels are numbers of
    buckets, and `sum` for the sum in milliseconds. The labels of FAILED are error codes. Other figures have the empty
    label. ENDED is not kept: it stands for completed, failed and cancelled messages together.
    """

    ACCEPTED = "accepted"
    STARTED = "started"
    ENDED = "ended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    REQUEUED = "requeued"
    RETRIED = "retried"
    RELEASED = "released"
    LOST = "lost"
    USAGE = "usage"
    WAIT = "wait"
    FIRST_TOKEN = "first_token"  # noqa: S105  no password
    RUN = "run"


STORED = tuple(metric for metric in Metric if metric is not Metric.ENDED)
ENDS = (Metric.COMPLETED, Metric.FAILED, Metric.CANCELLED)
HISTOGRAMS = frozenset({Metric.WAIT, Metric.FIRST_TOKEN, Metric.RUN})
COUNTS = tuple(metric for metric in Metric if metric not in HISTOGRAMS | {Metric.USAGE})
SUM = "sum"
"""The label of a histogram's sum in milliseconds."""


class Grouping(StrEnum):
    """By what figures are told apart."""

    AGENT = "agent"
    PRIORITY = "priority"
    TENANT = "tenant"


class FigureKey(NamedTuple):
    """The key of a stored figure. `start` is the begin of its period, in milliseconds."""

    tenant: str
    metric: str
    start: int
    agent: str
    priority: str
    label: str


class FigureQuery(NamedTuple):
    """The figures to read, of some metrics and of the periods from `since` to before `until`.

    Both times are begins of periods, in milliseconds.
    `step` is one of STEPS. `agent` leaves out the figures of other agents. With `by_start`, each period has its own
    figures; otherwise they are added up. `by` tells figures of different groups apart.
    """

    metrics: tuple[Metric, ...]
    step: int
    since: int
    until: int
    agent: str | None = None
    by_start: bool = False
    by: Grouping | None = None


class Figure(NamedTuple):
    """A sum of stored figures. `start` is 0 and `group` is empty if the query did not tell them apart."""

    start: int
    group: str
    metric: str
    label: str
    value: int


class Counted(NamedTuple):
    """A number of equal transitions or records of one minute, with the fields that count for the figures.

    `start` is the begin of the minute. Times are in milliseconds, None where there is none. `usage` has the fields of
    `Tokens`, separated by spaces, None unless it is a record of model calls.
    """

    start: int
    tenant: str
    type: str
    agent: str
    priority: str
    wait_ms: int | None
    first_token_ms: int | None
    run_ms: int | None
    error_code: str | None
    usage: str | None
    number: int


class Times(NamedTuple):
    """How often something happened, and how long it took, in seconds: None where nothing was measured.

    Percentiles are within a tenth.
    """

    number: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Overview(NamedTuple):
    """The figures of a tenant from `since` to `until`, which are begins of periods of `step` seconds.

    `counts` has the numbers of COUNTS, `errors` the failed messages by error code, the most frequent first.
    """

    since: int
    until: int
    step: int
    counts: Mapping[Metric, int]
    errors: Mapping[str, int]
    wait: Times
    first_token: Times
    run: Times
    tokens: Tokens


class SeriesGrouping(StrEnum):
    """By what a series is divided. STATE divides only Metric.ENDED, and CODE only Metric.FAILED."""

    AGENT = "agent"
    PRIORITY = "priority"
    STATE = "state"
    CODE = "code"
    TENANT = "tenant"


class SeriesQuery(NamedTuple):
    """A series to read, of points that are `step` seconds apart. Times are in milliseconds."""

    metrics: tuple[Metric, ...]
    step: int
    since: int
    until: int
    agent: str | None = None
    by: SeriesGrouping | None = None


class SeriesPoint(NamedTuple):
    """One step of a series, which begins at `at`, in milliseconds. A point of a count has only `Times.number`.

    `tokens` is None but for the metric USAGE, whose `Times.number` is the number of calls.
    """

    at: int
    times: Times
    tokens: Tokens | None = None


class Series(NamedTuple):
    """The points of one group, one for each step."""

    group: str | None
    points: Sequence[SeriesPoint]
