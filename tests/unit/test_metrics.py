"""Counting: bounded names, records that wait, and what off costs."""

import subprocess
import sys
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from app.models.usage import ModelUsage, Tokens
from app.observability.metric_definitions import OF_PROCESSES, OF_QUEUE, MetricKind
from app.observability.metrics import MOST_NAMES, MOST_TIMES, Joined, Metrics, Names, Series, exposition_of
from app.observability.recorder import Recorder
from app.policy.histograms import SECONDS


def text_of(metrics: Metrics) -> str:
    metrics.flush()
    return exposition_of(metrics.own, "")[0].decode()


def test_further_models_than_the_bound_are_one() -> None:
    metrics = Metrics()
    for number in range(2 * MOST_NAMES):
        metrics.used([ModelUsage(f"model-{number}", Tokens(input_tokens=1))])
    text = text_of(metrics)
    assert text.count("agentq_tokens_total{") == MOST_NAMES + 1
    assert f'agentq_tokens_total{{kind="input",model="other"}} {MOST_NAMES}.0' in text


def test_a_known_name_stays_itself_beyond_the_bound() -> None:
    names = Names(1)
    assert [names.bounded(name) for name in ("a", "b", "a")] == ["a", "other", "a"]


@pytest.mark.parametrize("cached", [0, 3])
def test_tokens_are_counted_by_kind_and_their_cost_by_model(cached: int) -> None:
    metrics = Metrics()
    metrics.used([ModelUsage("m", Tokens(1, 5, 7, cached_tokens=cached, cost_nanos=1_500_000_000))])
    metrics.used([ModelUsage("free", Tokens(1, unpriced_calls=1))])
    text = text_of(metrics)
    assert 'agentq_cost_dollars_total{model="m"} 1.5' in text
    assert 'cost_dollars_total{model="free"}' not in text
    assert 'agentq_tokens_total{kind="input",model="m"} 5.0' in text
    assert 'agentq_tokens_total{kind="output",model="m"} 7.0' in text
    assert ('kind="cached"' in text) is bool(cached)
    assert 'kind="reasoning"' not in text


def test_times_do_not_wait_without_end() -> None:
    registry = CollectorRegistry()
    series = Series(Histogram("h", "text", ["verb"], registry=registry), None)
    record = series.timer("add")
    for _ in range(MOST_TIMES + 1):
        record(0.1)
    assert registry.get_sample_value("h_count", {"verb": "add"}) == MOST_TIMES
    series.flush()
    assert registry.get_sample_value("h_count", {"verb": "add"}) == MOST_TIMES + 1


def test_what_another_thread_records_meanwhile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop of the agents calls the store too. An error here would end all sampling of the process."""
    registry = CollectorRegistry()
    series = Series(Histogram("h", "text", ["verb"], registry=registry), None)
    series.observe(0.1, "add")
    found = series.of

    def interrupted(*values: str) -> Any:
        series.timer("queue_id")(0.1)
        series.observe(0.1, "add")
        return found(*values)

    monkeypatch.setattr(series, "of", interrupted)
    series.flush()
    monkeypatch.undo()
    series.flush()
    assert registry.get_sample_value("h_count", {"verb": "add"}) == 2
    assert registry.get_sample_value("h_count", {"verb": "queue_id"}) == 1


def test_counts_wait_for_the_flush() -> None:
    registry = CollectorRegistry()
    series = Series(Counter("c", "text", ["agent"], registry=registry), None)
    series.add(2, "a")
    series.add(3, "a")
    assert registry.get_sample_value("c_total", {"agent": "a"}) is None
    series.flush()
    series.flush()
    assert registry.get_sample_value("c_total", {"agent": "a"}) == 5


def test_no_times_of_creation_are_shown() -> None:
    assert "_created" not in text_of(Metrics())


def test_names_and_buckets_are_as_promised() -> None:
    definitions = (*OF_PROCESSES, *OF_QUEUE)
    assert len({each.name for each in definitions}) == len(definitions)
    assert (SECONDS[0], SECONDS[-1]) == (0.005, 3600)
    for each in definitions:
        assert each.meaning.endswith((".", ";"))
        assert each.name.startswith("agentq_")
        assert not {"tenant", "message_id", "thread_id", "subject"} & {*each.labels}
        assert (each.kind is MetricKind.HISTOGRAM) == bool(each.buckets)


def test_off_does_not_even_import_the_library() -> None:
    code = (
        "import sys; from app.bootstrap import Runtime; from app.config import Settings; "
        "Runtime(Settings(_env_file=None, database_url='memory://', metrics=False)); "
        "sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_recorder_takes_everything_and_keeps_nothing() -> None:
    recorder = Recorder()
    recorder.store_timer("add")(1.0)
    recorder.used([ModelUsage("m", Tokens(input_tokens=1))])
    assert not vars(recorder)


def test_joined_metrics_end_with_the_further_ones() -> None:
    names = [family.name for family in Joined(Metrics().own, CollectorRegistry().collect()).collect()]
    assert names[0] == "agentq_messages_submitted"
