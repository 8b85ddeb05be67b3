"""Turns figures of the queue, read from the store, into metrics."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from ..models.messages import Priority
from ..models.statistics import QueueFigures
from ..models.workers import Throughput, Worker
from . import metric_definitions as definitions
from .metric_definitions import MetricDefinition


class QueueReading(NamedTuple):
    """The result of one read of the store."""

    figures: QueueFigures
    throughput: Throughput
    workers: Sequence[Worker]
    now: datetime


class Program(NamedTuple):
    """Figures that do not change while the process runs. `aging` is whether PRIORITY_AGING_SECONDS is set."""

    version: str
    engine: str
    max_queue_size: int
    aging: bool


def queue_metrics(program: Program, reading: QueueReading | None) -> Iterator[Metric]:
    """Yield the metrics of the queue. `reading` is None if the store did not answer."""
    yield _gauge(definitions.BUILD, {(program.version, program.engine): 1})
    yield _gauge(definitions.LIMIT, {(): program.max_queue_size})
    yield _gauge(definitions.STORE_UP, {(): 0 if reading is None else 1})
    if reading is None:
        return
    figures, throughput, workers, now = reading
    levels = {0: "all"} if program.aging else {priority.level: priority.value for priority in Priority}
    yield _gauge(definitions.DEPTH, {(name,): figures.waiting.get(level, 0) for level, name in levels.items()})
    oldest = {(name,): figures.oldest_seconds.get(level) for level, name in levels.items()}
    yield _gauge(definitions.OLDEST, {key: seconds for key, seconds in oldest.items() if seconds is not None})
    states = {
        "waiting": sum(figures.waiting.values()),
        "delayed": figures.delayed,
        "processing": figures.processing,
        "interrupted": figures.interrupted,
        "dead_letter": figures.failed,
    }
    yield _gauge(definitions.MESSAGES, {(state,): count for state, count in states.items()})
    yield _gauge(definitions.PAUSED, {(): int(throughput.paused)})
    yield _gauge(definitions.WORKERS, {(): len(workers)})
    yield _gauge(definitions.LIVE_SLOTS, {(): throughput.slots})
    ages = [max(0.0, (now - worker.last_beat).total_seconds()) for worker in workers]
    yield _gauge(definitions.BEAT_AGE, {(): max(ages)} if ages else {})


def _gauge(definition: MetricDefinition, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(definition.name, definition.meaning, labels=definition.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
