"""Counts the metrics of this process with prometheus-client. Import it only when metrics are on.

prometheus-client decides at its import whether several processes share their values (PROMETHEUS_MULTIPROC_DIR).
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, multiprocess
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from typing_extensions import override

from ..models.attempts import Cancelled, Claim, Completed, Failed, Interrupted, Outcome, Released, Retry
from ..models.usage import NANOS, ModelUsage
from . import metric_definitions as definitions
from .metric_definitions import MetricDefinition, MetricKind
from .recorder import Recorder

MOST_NAMES = 100
"""Maximum number of different agents, models and error codes as labels. Further ones are counted as `other`."""

MOST_TIMES = 1_000
"""Maximum number of times of one series that wait to be recorded."""

OTHER = "other"

OUTCOMES: Mapping[type[Outcome], str] = {
    Completed: "completed",
    Failed: "failed",
    Cancelled: "cancelled",
    Retry: "retried",
    Interrupted: "interrupted",
    Released: "released",
}
ENDS = frozenset({"completed", "failed", "cancelled"})
LOST = "lost"

CLASSES: Mapping[MetricKind, Callable[..., Any]] = {
    MetricKind.COUNTER: lambda each, registry: Counter(each.name, each.meaning, each.labels, registry=registry),
    MetricKind.GAUGE: lambda each, registry: Gauge(
        each.name, each.meaning, each.labels, registry=registry, multiprocess_mode=each.merge
    ),
    MetricKind.HISTOGRAM: lambda each, registry: Histogram(
        each.name, each.meaning, each.labels, registry=registry, buckets=each.buckets
    ),
}


class Names:
    """Bounds the values of a label."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, name: str) -> str:
        """Return the name, or `other` for a new name after the first `most` ones."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


class Series:
    """The time series of one metric, found by the values of its labels. Names that users choose are bounded.

    What is recorded waits until `flush`, because many records in a row cost a third of single ones between other work.
    Any thread may record.
    """

    def __init__(self, metric: Any, *bounds: Names | None) -> None:
        self._metric = metric
        self._bounds = bounds
        self._found: dict[tuple[str, ...], Any] = {}
        self._counts: dict[tuple[str, ...], float] = {}
        self._times: dict[tuple[str, ...], list[float]] = {}
        self._lock = threading.Lock()

    def of(self, *values: str) -> Any:
        """Return the series with these values of the labels, creating it at the first use."""
        series = self._found.get(values)
        if series is None:
            bounded = tuple(
                value if bound is None else bound.bounded(value)
                for value, bound in zip(values, self._bounds, strict=True)
            )
            series = self._metric.labels(*bounded) if bounded else self._metric
            if bounded == values:  # `other` stands for any number of values
                self._found[values] = series
        return series

    def add(self, count: float, *values: str) -> None:
        """Add to a counter, at the next `flush`."""
        with self._lock:
            self._counts[values] = self._counts.get(values, 0) + count

    def observe(self, seconds: float, *values: str) -> None:
        """Add a time to a histogram, at the next `flush`."""
        times = self._times.get(values)
        if times is None:
            times = self._times_of(values)
        times.append(seconds)
        if len(times) >= MOST_TIMES:
            self.flush()

    def timer(self, *values: str) -> Callable[[float], None]:
        """Return a function that does `observe` for these values of the labels, in less time."""
        times = self._times_of(values)
        append = times.append

        def observe(seconds: float) -> None:
            append(seconds)
            if len(times) >= MOST_TIMES:
                self.flush()

        return observe

    def _times_of(self, values: tuple[str, ...]) -> list[float]:
        with self._lock:
            return self._times.setdefault(values, [])

    def flush(self) -> None:
        """Record what waits."""
        with self._lock:
            counts, self._counts = self._counts, {}
            waiting = [(values, times[:]) for values, times in self._times.items() if times]
            for values, recorded in waiting:
                del self._times[values][: len(recorded)]
        for values, count in counts.items():
            self.of(*values).inc(count)
        for values, recorded in waiting:
            observe = self.of(*values).observe
            for seconds in recorded:
                observe(seconds)


class Metrics(Recorder):
    """Counts what the parts of the process tell.

    With `shared`, a folder, the processes behind one port count in files there, and each can show the sums.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._series: list[Series] = []
        self._registry = CollectorRegistry()
        made = {each.name: CLASSES[each.kind](each, self._registry) for each in definitions.OF_PROCESSES}
        agents, models, codes = Names(), Names(), Names()

        def series(definition: MetricDefinition) -> Series:
            bounds = {"agent": agents, "model": models, "code": codes}
            found = Series(made[definition.name], *(bounds.get(label) for label in definition.labels))
            self._series.append(found)
            return found

        self._submitted = series(definitions.SUBMITTED)
        self._finished = series(definitions.FINISHED)
        self._attempts = series(definitions.ATTEMPTS)
        self._retries = series(definitions.RETRIES)
        self._dead_letters = series(definitions.DEAD_LETTERS)
        self._wait = series(definitions.WAIT)
        self._run = series(definitions.RUN)
        self._first_token = series(definitions.FIRST_TOKEN)
        self._inter_token = series(definitions.INTER_TOKEN)
        self._tokens = series(definitions.TOKENS)
        self._cost = series(definitions.COST)
        self._heartbeats = series(definitions.HEARTBEATS)
        self._store_calls = series(definitions.STORE_CALLS)
        self._store_errors = series(definitions.STORE_ERRORS)
        self._readers = series(definitions.READERS)
        self._plain = made
        self._events = series(definitions.EVENTS_WRITTEN)
        if shared is None:
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=self._registry)

    @override
    def submitted(self, agent: str, priority: str) -> None:
        self._submitted.add(1, agent, priority)

    @override
    def requeued(self, count: int) -> None:
        self._plain[definitions.REQUEUED.name].inc(count)

    @override
    def cancelled(self, agent: str) -> None:
        self._finished.add(1, agent, "cancelled")

    @override
    def claimed(self, claim: Claim) -> None:
        message = claim.message
        since = claim.waiting_since
        if since is not None and message.started_at is not None:
            waited = max(0.0, (message.started_at - since).total_seconds())
            self._wait.observe(waited, message.agent, message.priority)

    @override
    def attempt_ended(self, agent: str, outcome: Outcome | None, seconds: float) -> None:
        name = LOST if outcome is None else OUTCOMES[type(outcome)]
        self._attempts.add(1, agent, name)
        self._run.observe(seconds, agent, name)
        if name in ENDS:
            self._finished.add(1, agent, name)
        if isinstance(outcome, Failed):
            self._dead_letters.add(1, agent, outcome.code)
        elif isinstance(outcome, Retry):
            self._retries.add(1, agent, outcome.code)

    @override
    def leases_expired(self, count: int) -> None:
        self._plain[definitions.LEASES_EXPIRED.name].inc(count)

    @override
    def counters_repaired(self, count: int) -> None:
        self._plain[definitions.COUNTERS_REPAIRED.name].inc(count)

    @override
    def questions_expired(self, count: int) -> None:
        self._plain[definitions.QUESTIONS_EXPIRED.name].inc(count)

    @override
    def first_token(self, agent: str, seconds: float) -> None:
        self._first_token.observe(seconds, agent)

    @override
    def next_tokens(self, agent: str, seconds: float) -> None:
        self._inter_token.observe(seconds, agent)

    @override
    def used(self, usage: Sequence[ModelUsage]) -> None:
        for model, tokens in usage:
            for kind, count in (
                ("input", tokens.input_tokens),
                ("output", tokens.output_tokens),
                ("cached", tokens.cached_tokens),
                ("reasoning", tokens.reasoning_tokens),
            ):
                if count:
                    self._tokens.add(count, model, kind)
            if tokens.cost_nanos:
                self._cost.add(tokens.cost_nanos / NANOS, model)

    @override
    def events_written(self, count: int) -> None:
        self._events.add(count)

    @override
    def beaten(self, seconds: float) -> None:
        self._heartbeats.of("ok").inc()
        self._plain[definitions.HEARTBEAT.name].observe(seconds)

    @override
    def beat_failed(self) -> None:
        self._heartbeats.of("failed").inc()

    @override
    def store_timer(self, verb: str) -> Callable[[float], None]:
        return self._store_calls.timer(verb)

    @override
    def store_failed(self, verb: str, code: str) -> None:
        self._store_errors.add(1, verb, code)

    @override
    def websocket_opened(self) -> None:
        self._plain[definitions.WEBSOCKETS.name].inc()

    @override
    def websocket_closed(self) -> None:
        self._plain[definitions.WEBSOCKETS.name].dec()

    def flush(self) -> None:
        """Record what waits to be recorded."""
        for series in self._series:
            series.flush()

    def set_worker(self, slots: int, busy: int, silent_seconds: float) -> None:
        """Set the figures of this process's worker."""
        self._plain[definitions.SLOTS.name].set(slots)
        self._plain[definitions.SLOTS_BUSY.name].set(busy)
        self._plain[definitions.SILENCE.name].set(silent_seconds)

    def set_readers(self, open_by_kind: Mapping[str, int]) -> None:
        """Set how many readers of each kind this process has."""
        for kind, count in open_by_kind.items():
            self._readers.of(kind).set(count)

    def set_reader_lag(self, lag_events: int) -> None:
        """Set by how many events the slowest reader of this process is behind."""
        self._plain[definitions.READER_LAG.name].set(lag_events)

    @property
    def own(self) -> Collector:
        """Return the metrics of this process alone."""
        return Joined(self._registry)

    @property
    def shown(self) -> Collector:
        """Return the metrics to show: of this process, or the sums of all processes that share a folder."""
        if self._shared is None:
            return self.own
        self._forget_dead_processes(self._shared)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=str(self._shared))  # type: ignore[no-untyped-call]  # the library's
        return registry

    @staticmethod
    def _forget_dead_processes(folder: Path) -> None:
        """Delete the gauges of processes that have ended. Their counters stay, so that sums never fall."""
        for pid in {file.stem.rpartition("_")[2] for file in folder.glob("gauge_live*.db")}:
            if pid.isdecimal() and not _is_alive(int(pid)):
                multiprocess.mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]  # as above


class Joined(Collector):
    """A source of metrics, and further metrics, without the times at which series began."""

    def __init__(self, source: Collector, further: Iterable[Metric] = ()) -> None:
        self._source = source
        self._further = further

    @override
    def collect(self) -> Iterable[Metric]:
        for family in self._source.collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family
        yield from self._further


def exposition_of(source: Collector, accept: str) -> tuple[bytes, str]:
    """Return the metrics as text and its media type: OpenMetrics if the header `Accept` asks for it."""
    encode, media_type = choose_encoder(accept)
    return encode(source), media_type


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
