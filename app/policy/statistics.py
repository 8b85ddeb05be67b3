"""Turns changes of state into figures, and figures into the answers to queries. Pure, without I/O."""

from collections import Counter
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

from ..models.statistics import (
    MINUTE,
    STEPS,
    SUM,
    Figure,
    FigureKey,
    FigureQuery,
    Grouping,
    Metric,
)
from ..models.transitions import TransitionType
from ..models.usage import Tokens
from .histograms import BUCKETS, bucket_of

WORKER_LOST = "worker_lost"
"""The error code of messages that failed because their workers were lost."""

_METRIC_OF = MappingProxyType(
    {
        TransitionType.ACCEPTED.value: Metric.ACCEPTED.value,
        TransitionType.RETRY.value: Metric.RETRIED.value,
        TransitionType.RELEASED.value: Metric.RELEASED.value,
        TransitionType.LOST.value: Metric.LOST.value,
        TransitionType.INTERRUPTED.value: Metric.INTERRUPTED.value,
        TransitionType.RESUMED.value: Metric.RESUMED.value,
        TransitionType.REQUEUED.value: Metric.REQUEUED.value,
        TransitionType.COMPLETED.value: Metric.COMPLETED.value,
        TransitionType.FAILED.value: Metric.FAILED.value,
        TransitionType.CANCELLED.value: Metric.CANCELLED.value,
    }
)
_BUCKETS = tuple(map(str, range(BUCKETS)))

Figures = Counter[tuple[str, str, int, str, str, str]]
"""Values by the fields of a `FigureKey`."""


def minutes_of(counted: Iterable[Sequence[Any]]) -> Figures:
    """Return the figures of transitions by minute. Each element has the fields of `Counted`."""
    figures: Figures = Counter()
    for start, tenant, kind, agent, priority, wait, first_token, run, code, usage, count in counted:
        if (metric := _METRIC_OF.get(kind)) is not None:
            label = code or "" if kind == "failed" else ""
            figures[tenant, metric, start, agent, priority, label] += count
            if label == WORKER_LOST:
                figures[tenant, "lost", start, agent, priority, ""] += count
        if usage is not None:
            for name, value in zip(Tokens._fields, map(int, usage.split()), strict=True):
                if value:
                    figures[tenant, "usage", start, agent, priority, name] += value * count
        if wait is not None:
            figures[tenant, "started", start, agent, priority, ""] += count
            _add_time(figures, (tenant, "wait", start, agent, priority), wait, count)
        if run is not None:
            _add_time(figures, (tenant, "run", start, agent, priority), run, count)
            if first_token is not None:
                _add_time(figures, (tenant, "first_token", start, agent, priority), first_token, count)
    return figures


def _add_time(figures: Figures, key: tuple[str, str, int, str, str], milliseconds: int, count: int) -> None:
    figures[*key, _BUCKETS[bucket_of(milliseconds)]] += count
    figures[*key, SUM] += milliseconds * count


def periods_of(minutes: Figures, step: int) -> Figures:
    """Return the figures by periods of `step` seconds, from figures by minute."""
    if step == MINUTE:
        return minutes
    length = step * 1000
    figures: Figures = Counter()
    for (tenant, metric, start, agent, priority, label), value in minutes.items():
        figures[tenant, metric, start - start % length, agent, priority, label] += value
    return figures


def stored_figures(counted: Iterable[Sequence[Any]]) -> list[tuple[int, FigureKey, int]]:
    """Return what transitions add to the stored figures: step, key and value, in the order of the keys."""
    minutes = minutes_of(counted)
    return [
        (step, FigureKey(*key), value) for step in STEPS for key, value in sorted(periods_of(minutes, step).items())
    ]


def group_of(query: FigureQuery, key: FigureKey) -> str:
    """Return the group of a figure, empty if the query tells no groups apart."""
    match query.by:
        case Grouping.AGENT:
            return key.agent
        case Grouping.PRIORITY:
            return key.priority
        case Grouping.TENANT:
            return key.tenant
        case None:
            return ""


def with_unfolded(stored: Iterable[Figure], counted: Iterable[Sequence[Any]], query: FigureQuery) -> list[Figure]:
    """Return the figures of a query from those that are stored and from transitions that are not yet in them."""
    found: Counter[tuple[int, str, str, str]] = Counter()
    for known in stored:
        found[known[:4]] += known.value
    for fields, value in periods_of(minutes_of(counted), query.step).items():
        if (figure := selected(query, FigureKey(*fields), value)) is not None:
            found[figure[:4]] += value
    return [Figure(*key, value) for key, value in sorted(found.items())]


def selected(query: FigureQuery, key: FigureKey, value: int) -> Figure | None:
    """Return a stored figure as a query tells it apart, None if the query leaves it out."""
    if key.metric not in query.metrics or not query.since <= key.start < query.until:
        return None
    if query.agent not in (None, key.agent):
        return None
    return Figure(key.start if query.by_start else 0, group_of(query, key), key.metric, key.label, value)
