"""Traces of real processes: pushed by OTLP to a collector, with their ids in the logs; refused variables."""

import json
import sys
from pathlib import Path

import httpx2
import pytest

from app.errors import ConfigurationError
from app.observability.otel_environment import CAPTURE, MISSING, captures_content, check_traces, headers
from tests.collector import collector
from tests.integration.conftest import Serve
from tests.openai_stub import StubServer
from tests.servers import finished_process, server_process, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def test_a_trace_goes_from_an_api_process_to_a_worker_process(tmp_path: Path, model: StubServer) -> None:
    with collector() as received:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "sk-test",
            "LOG_FORMAT": "json",
        }
        with (
            server_process(tmp_path, WORKER_CONCURRENCY="0", **environment) as api,
            server_process(tmp_path, "app.worker", **environment) as worker,
        ):
            await api.ready("/health/live")
            async with httpx2.AsyncClient(base_url=api.url, trust_env=False, verify=False) as client:
                named = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
                await client.post("/messages", json={"message": "Hello"}, headers=named)
            await until(lambda: any(span.name == "attempt" for _, span in received.spans), "the attempt is pushed")
            lines = [json.loads(line) for server in (api, worker) for line in server.output.splitlines()]
            assert api.terminate() == 0
            assert worker.terminate() == 0
    assert {span.trace_id.hex() for _, span in received.spans} == {TRACE}
    processes = {span.name: process for process, span in received.spans}
    assert processes["receive"] != processes["attempt"]
    ids = {span.name: span.span_id.hex() for _, span in received.spans}
    parents = {span.name: span.parent_span_id.hex() for _, span in received.spans}
    assert parents == {
        "receive": SPAN,
        "wait": ids["receive"],
        "attempt": ids["receive"],
        "invoke_agent chat": ids["attempt"],
        "node model": ids["invoke_agent chat"],
        "chat gpt-4": ids["node model"],
    }
    logged = {
        line["message"].partition(":")[0]: (line["trace_id"], line["span_id"]) for line in lines if "trace_id" in line
    }
    assert logged["Message enqueued"] == (TRACE, ids["receive"])
    assert logged["Worker processing message"] == logged["Message processed successfully"] == (TRACE, ids["attempt"])


async def test_a_text_line_ends_with_the_ids_of_its_trace(tmp_path: Path) -> None:
    environment = {"OTEL_TRACES_EXPORTER": "console", "WORKER_CONCURRENCY": "0", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with server_process(tmp_path, **environment) as server:
        await server.ready("/health/live")
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False) as client:
            reply = await client.post("/messages", json={"message": "Hello"})
        _, trace_id, span_id, _ = reply.headers["traceparent"].split("-")
        await until(lambda: '"name": "receive"' in server.output, "the span is printed")
    (line,) = [line for line in server.output.splitlines() if "Message enqueued" in line]
    assert line.endswith(f"priority=normal trace_id={trace_id} span_id={span_id}")
    assert "trace_id" not in next(line for line in server.output.splitlines() if "Store opened" in line)


async def test_a_missing_package_is_one_line_at_the_start(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    server = await serve(worker_concurrency=0)
    assert caplog.text.count(MISSING.format(signal="Traces")) == 1
    assert "traceparent" not in (await server.client.post("/messages", json={"message": "?"})).headers


def test_a_wrong_variable_is_one_line_at_the_start(tmp_path: Path) -> None:
    ended = finished_process(tmp_path, "app.main", DATABASE_URL="memory://", OTEL_TRACES_SAMPLER="sometimes")
    assert ended.returncode == 78
    (line,) = ended.stderr.splitlines()
    assert line == (
        "Cannot start. OTEL_TRACES_SAMPLER: expected always_on, always_off, parentbased_always_on, "
        "parentbased_always_off, traceidratio or parentbased_traceidratio, got 'sometimes'"
    )


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: expected otlp, console or none, got 'zipkin'"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1%"},
            "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got '1%'",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.5"},
            "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got '1.5'",
        ),
        ({"OTEL_BSP_SCHEDULE_DELAY": "5 s"}, "OTEL_BSP_SCHEDULE_DELAY: expected a whole number above 0, got '5 s'"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected http:// or https:// with a host, got 'collector:4318'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "me:SECRET@collector"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected http:// or https:// with a host, got a value that is not shown",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TIMEOUT": "inf"},
            "OTEL_EXPORTER_OTLP_TIMEOUT: expected a number of seconds above 0, got 'inf'",
        ),
        (
            {CAPTURE: "yes"},
            f"{CAPTURE}: expected true, span_only, span_and_event, false or no_content, got 'yes'",
        ),
    ],
)
def test_a_wrong_variable_is_refused(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_traces(environment)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_SAMPLER": "ParentBased_TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "0.01"},
        {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "unused"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": ""},
    ],
)
def test_a_right_variable_is_taken(environment: dict[str, str]) -> None:
    check_traces(environment)


@pytest.mark.parametrize(("given", "captures"), [("", False), ("TRUE", True), ("no_content", False)])
def test_content_is_captured_only_if_a_variable_says_so(given: str, captures: bool) -> None:
    assert captures_content({CAPTURE: given}) is captures


def test_headers_for_collectors_are_secrets() -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abc, x=12345678",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "k=v",
    }
    assert headers(environment) == ["Bearer abc", "12345678"]
