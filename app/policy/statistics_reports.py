"""Turns figures into overviews and series. Pure, without I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..models.statistics import (
    COUNTS,
    DAY,
    ENDS,
    HISTOGRAMS,
    HOUR,
    MINUTE,
    STEPS,
    SUM,
    Figure,
    FigureQuery,
    Grouping,
    Metric,
    Overview,
    Series,
    SeriesGrouping,
    SeriesPoint,
    SeriesQuery,
    Times,
)
from ..models.usage import Tokens
from .histograms import percentile

MINUTES_UP_TO = 3 * HOUR
HOURS_UP_TO = 5 * DAY
"""Longest windows, in seconds, whose overview is added up from minutes, or from hours. Longer ones are from days."""

MOST_ERRORS = 10
MOST_GROUPS = 20
"""Number of groups of a series with points of their own. The others are added up as OTHER."""

OTHER = "other"
_NOTHING = Times(0, None, None, None, None)


def step_for(seconds: float) -> int:
    """Return the length of the periods from which a window of this length is added up, in seconds."""
    return MINUTE if seconds <= MINUTES_UP_TO else HOUR if seconds <= HOURS_UP_TO else DAY


def begin_of(moment: int, step: int) -> int:
    """Return the begin of the period of `step` seconds that contains a moment, in milliseconds."""
    return moment - moment % (step * 1000)


def times_of(labels: Mapping[str, int]) -> Times:
    """Return the times of a histogram, given by its labels."""
    buckets = {int(label): value for label, value in labels.items() if label != SUM}
    count = sum(buckets.values())
    if not count:
        return _NOTHING
    mean = labels.get(SUM, 0) / count / 1000
    return Times(count, mean, percentile(buckets, 0.5), percentile(buckets, 0.95), percentile(buckets, 0.99))


def overview_of(figures: Iterable[Figure], query: FigureQuery) -> Overview:
    """Return an overview from the figures of its query."""
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, _, metric, label, value in figures:
        labels[metric][label] += value
    counts = {metric: labels[metric].total() for metric in COUNTS}
    counts[Metric.ENDED] = sum(counts[metric] for metric in ENDS)
    errors = sorted(labels[Metric.FAILED].items(), key=lambda each: (-each[1], each[0]))
    return Overview(
        since=query.since,
        until=query.until,
        step=query.step,
        counts=counts,
        errors=dict(errors[:MOST_ERRORS]),
        wait=times_of(labels[Metric.WAIT]),
        first_token=times_of(labels[Metric.FIRST_TOKEN]),
        run=times_of(labels[Metric.RUN]),
        tokens=Tokens(**labels[Metric.USAGE]),
    )


def figures_for(query: SeriesQuery) -> FigureQuery:
    """Return the figures that a series needs."""
    step = max(step for step in STEPS if query.step % step == 0)
    by = None if query.by in (None, SeriesGrouping.STATE, SeriesGrouping.CODE) else Grouping(query.by)
    return FigureQuery(query.metrics, step, query.since, query.until, query.agent, by_start=True, by=by)


def series_of(figures: Iterable[Figure], query: SeriesQuery) -> list[Series]:
    """Return the series of a query from its figures, the group with the highest count first.

    Steps without figures have points, too. Without a grouping, there is exactly one series.
    """
    groups: defaultdict[str, defaultdict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    totals: Counter[str] = Counter()
    for figure in figures:
        group = _group(figure, query.by)
        groups[group][begin_of(figure.start, query.step)][figure.label] += figure.value
        totals[group] += _weight(figure)
    ordered = sorted(totals, key=lambda group: (-totals[group], group))
    if len(ordered) > MOST_GROUPS:
        for group in ordered[MOST_GROUPS:]:
            for start, labels in groups.pop(group).items():
                groups[OTHER][start].update(labels)
        ordered = [*ordered[:MOST_GROUPS], OTHER]
    if query.by is None:
        return [Series(None, _points(groups[""], query))]
    return [Series(group, _points(groups[group], query)) for group in dict.fromkeys(ordered)]


def _weight(figure: Figure) -> int:
    """Return what a figure adds to the size of its group: tokens of usage, else the count."""
    if figure.metric == Metric.USAGE:
        return figure.value if figure.label in ("input_tokens", "output_tokens") else 0
    return 0 if figure.label == SUM else figure.value


def _group(figure: Figure, by: SeriesGrouping | None) -> str:
    match by:
        case SeriesGrouping.STATE:
            return figure.metric
        case SeriesGrouping.CODE:
            return figure.label
        case _:
            return figure.group


def _points(labels: Mapping[int, Counter[str]], query: SeriesQuery) -> Sequence[SeriesPoint]:
    starts = range(query.since, query.until, query.step * 1000)
    if query.metrics[0] in HISTOGRAMS:
        return [SeriesPoint(start, times_of(labels.get(start, {}))) for start in starts]
    if query.metrics[0] is Metric.USAGE:
        used = [Tokens(**labels.get(start, Counter())) for start in starts]
        return [
            SeriesPoint(start, _NOTHING._replace(number=tokens.calls), tokens)
            for start, tokens in zip(starts, used, strict=True)
        ]
    return [SeriesPoint(start, _NOTHING._replace(number=sum(labels.get(start, {}).values()))) for start in starts]
