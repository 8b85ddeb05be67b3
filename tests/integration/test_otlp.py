"""Metrics pushed by OTLP: what a collector receives from a real server, and what happens without one."""

import socket
import sys
from pathlib import Path

import pytest

from app.observability.otel_environment import MISSING
from app.observability.otlp import is_wanted
from tests.collector import collector, labels_of
from tests.integration.conftest import Serve
from tests.openai_stub import StubServer
from tests.servers import server_process, until


async def test_a_collector_gets_the_metrics_of_the_process_and_the_queue(tmp_path: Path, model: StubServer) -> None:
    with collector() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "sk-test",
        }
        with server_process(tmp_path, **environment) as server:
            await server.ready()
            await until(lambda: "agentq_build_info" in received.newest, "the first push")
            server.terminate()
        assert "Metrics are pushed by OTLP every 0.1 s" in server.output
    assert received.resource["service.name"] == "agentq"
    assert received.resource["deployment.environment.name"] == "test"
    depth = received.newest["agentq_queue_depth"].gauge.data_points
    assert {labels_of(point.attributes)["priority"] for point in depth} == {"high", "normal", "low"}
    calls = received.newest["agentq_store_call_seconds"]
    assert calls.unit == "s"
    claims = next(
        point for point in calls.histogram.data_points if labels_of(point.attributes) == {"verb": "access_state"}
    )
    assert claims.count == sum(claims.bucket_counts) > 0
    assert len(claims.bucket_counts) == len(claims.explicit_bounds) + 1
    beats = received.newest["agentq_heartbeats"].sum
    assert beats.is_monotonic
    assert beats.data_points[0].as_double >= 1


async def test_the_last_push_has_all_that_was_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{received.url}/v1/metrics")
        server = await serve(worker_concurrency=0)
        await server.submit()
        report = server.runtime.metrics
        assert report is not None
        await report.stop()
    (point,) = received.newest["agentq_messages_submitted"].sum.data_points
    assert labels_of(point.attributes) == {"agent": "chat", "priority": "normal"}
    assert point.as_double == 1


async def test_a_server_goes_on_without_its_collector(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collector() as received:
        received.status = 400
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
        server = await serve(worker_concurrency=0)
        await until(lambda: "The collector did not take the metrics" in caplog.text, "the log says so")
        assert (await server.client.get("/health")).json()["status"] == "healthy"


async def test_a_collector_that_hangs_does_not_keep_a_server_from_its_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and answers nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_METRIC_EXPORT_INTERVAL": "100"}
        with server_process(tmp_path, WORKER_CONCURRENCY="0", SHUTDOWN_GRACE_SECONDS="0.2", **environment) as server:
            await server.ready()
            silent.settimeout(10)
            with silent.accept()[0]:
                assert server.terminate() == 0, server.output
        assert "did not stop in time" not in server.output


async def test_a_missing_package_is_one_line_at_the_start(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.metric_exporter", None)
    server = await serve(worker_concurrency=0)
    assert caplog.text.count(MISSING.format(signal="Metrics")) == 1
    assert (await server.client.get("/metrics")).status_code == 200


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, True),
        ({"OTEL_METRICS_EXPORTER": "console, otlp"}, True),
        ({"OTEL_METRICS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_METRICS_EXPORTER": "otlp"}, False),
    ],
)
def test_the_variables_of_opentelemetry_decide(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted
