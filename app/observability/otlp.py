"""Pushes metrics to a collector by OTLP over HTTP, with OpenTelemetry's own exporter.

The exporter reads the variables of OpenTelemetry itself, such as OTEL_EXPORTER_OTLP_ENDPOINT and
OTEL_EXPORTER_OTLP_HEADERS. Sums and histograms are cumulative since the start of the process.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client import Metric
from prometheus_client.samples import Sample

from ..errors import ConfigurationError
from .otel_environment import HTTP, OTLP, Signal, exporters, protocol, resource

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import export as otel

logger = logging.getLogger(__name__)

INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
DEFAULT_INTERVAL_MS = 60_000


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the variables of OpenTelemetry ask for metrics by OTLP."""
    return OTLP in exporters(Signal.METRICS, environment)


def interval_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """Return the seconds between two exports. Raises ConfigurationError."""
    text = environment.get(INTERVAL) or str(DEFAULT_INTERVAL_MS)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 86_400_000):
        raise ConfigurationError(f"{INTERVAL}: expected milliseconds, a whole number from 1 to 86400000, got {text!r}")
    return int(text) / 1000


class OtlpPush:
    """Converts metrics and exports them. Raises ImportError without OpenTelemetry's packages."""

    def __init__(self, instance_id: str, version: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self.seconds = interval_seconds()
        if (asked := protocol(Signal.METRICS)) != HTTP:
            logger.warning("Metrics are pushed by OTLP as %s, not as %s", HTTP, asked)
        self._export: Any = export
        self._exporter = OTLPMetricExporter()
        self._resource = resource(instance_id, version)
        self._scope = InstrumentationScope("agentq", version)
        self._began = time.time_ns()

    def push(self, families: Iterable[Metric]) -> bool:
        """Export the metrics once, on the calling thread. Return whether the collector took them."""
        export = self._export
        metrics = list(self._metrics(families))
        scope = export.ScopeMetrics(self._scope, metrics, "")
        data = export.MetricsData([export.ResourceMetrics(self._resource, [scope], "")])
        return bool(self._exporter.export(data) is export.MetricExportResult.SUCCESS)

    def close(self) -> None:
        """Close the exporter's connections."""
        self._exporter.shutdown()

    def _metrics(self, families: Iterable[Metric]) -> Iterator["otel.Metric"]:
        export, now = self._export, time.time_ns()
        cumulative = export.AggregationTemporality.CUMULATIVE
        for family in families:
            unit = "s" if family.name.endswith("_seconds") else ""
            if family.type == "histogram":
                points = [self._histogram_point(*each, now) for each in _histograms(family.samples)]
                data: Any = export.Histogram(points, cumulative)
            else:
                numbers = [
                    export.NumberDataPoint(dict(sample.labels), self._began, now, sample.value)
                    for sample in family.samples
                ]
                is_sum = family.type == "counter"
                total = export.Sum(numbers, aggregation_temporality=cumulative, is_monotonic=True)
                data = total if is_sum else export.Gauge(numbers)
            if data.data_points:
                yield export.Metric(family.name, family.documentation, unit, data)

    def _histogram_point(
        self, labels: Mapping[str, str], counted: "CountedValues", now: int
    ) -> "otel.HistogramDataPoint":
        counts = [
            int(counted.below[0][1]),
            *(int(after - before) for (_, before), (_, after) in pairwise(counted.below)),
        ]
        bounds = [bound for bound, _ in counted.below[:-1]]  # the last one is infinity
        return self._export.HistogramDataPoint(  # type: ignore[no-any-return]  # imported only if it is installed
            labels, self._began, now, int(counted.below[-1][1]), counted.total, counts, bounds, 0, 0
        )


class CountedValues(NamedTuple):
    """The values of one histogram: how many are at most each bound, and their sum."""

    below: list[tuple[float, float]]
    total: float


def _histograms(samples: Iterable[Sample]) -> Iterator[tuple[dict[str, str], CountedValues]]:
    """Yield the labels and the values of each series of a histogram."""
    below: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
    totals: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            below[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            totals[labels] = sample.value
    for labels, bounds in below.items():
        yield dict(labels), CountedValues(sorted(bounds), totals.get(labels, 0.0))
