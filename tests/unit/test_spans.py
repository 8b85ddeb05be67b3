"""Spans that need no server: which traces are recorded, what stands in a context, names of attributes."""

import asyncio
from contextvars import copy_context
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBasedTraceIdRatio
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, messaging_attributes

from app.agents.model_calls import ModelCalls
from app.agents.token_usage import TokenUsage
from app.agents.traced_calls import TracedCalls
from app.models.messages import NewMessage
from app.models.traces import Trace, TraceContext
from app.observability.new_traces import NEXT, NewTraces
from app.observability.run_spans import RunSpans
from app.observability.spans import SpanTracing
from app.observability.trace_attributes import NAMES
from app.observability.tracing import INCOMING
from tests.spans import Spans, parent_of

ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"


def test_names_are_those_of_the_conventions() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    known |= {value for name, value in vars(messaging_attributes).items() if name.startswith("MESSAGING_")}
    ours = {name for name in NAMES.values() if name.startswith(("gen_ai.", "messaging."))}
    assert ours <= known


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_new_traces_are_recorded_as_the_sampler_decides(ratio: float) -> None:
    sampler, new_traces = ParentBasedTraceIdRatio(ratio), NewTraces(ratio)
    for _ in range(300):
        NEXT.set(None)
        context = new_traces.unrecorded()
        trace_id = NEXT.get() if context is None else int(context.trace_id, 16)
        assert trace_id is not None
        assert (sampler.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE) is (context is None)
    NEXT.set(None)


def tracing(spans: Spans, ratio: float) -> SpanTracing:
    return SpanTracing(spans.provider, redact=str, new_traces=NewTraces(ratio))


def test_a_new_trace_that_is_not_recorded_makes_no_span() -> None:
    spans = Spans(ALWAYS_ON)
    with tracing(spans, 0).receive("submit") as request:
        request.describe([NewMessage("?")])
        assert request.traceparent is None
    assert spans.all == []
    assert request.context is not None
    assert not request.context.sampled
    assert request.trace == request.context.parent


@pytest.mark.parametrize(("flags", "recorded"), [("00", 0), ("01", 1)])
def test_a_callers_decision_stands(flags: str, recorded: int) -> None:
    spans = Spans()
    token = INCOMING.set(TraceContext(PARENT + flags))
    try:
        with tracing(spans, 0.5).receive("submit") as request:
            pass
    finally:
        INCOMING.reset(token)
    assert len(spans.all) == recorded
    assert request.context is not None
    assert (request.context.trace_id, request.context.sampled) == (PARENT[3:35], bool(recorded))


def test_an_answer_that_is_not_recorded_changes_no_trace_and_begins_one_for_a_message_without() -> None:
    stored = str(Trace(TraceContext(PARENT + "01")))
    with tracing(Spans(), 0).receive("resume", trace=stored) as request:
        assert request.answered(stored) is None
        assert request.answered(None) == request.trace


def test_a_span_leaves_the_context_with_its_end() -> None:
    spans = Spans()
    tracer = spans.provider.get_tracer("test")
    run = RunSpans(tracer, tracer.start_span("agent"), str, captures_content=False)

    def inside() -> None:
        run.attach()
        run.begin(ONE, None, "node", is_client=False)
        run.skip(TWO, ONE)
        run.begin(THREE, TWO, "chat", is_client=True)
        tracer.start_span("during").end()
        copy_context().run(run.end, THREE)
        tracer.start_span("behind").end()
        run.end(TWO)
        run.end(ONE)
        tracer.start_span("after").end()
        current = trace.get_current_span()
        current.end()
        current.set_attribute("own", 1)

    copy_context().run(inside)
    run.close()
    agent = trace.get_current_span()
    assert not agent.get_span_context().is_valid
    assert spans.path(spans.one("during"))[-2:] == ["chat", "during"]
    assert spans.path(spans.one("behind"))[-2:] == ["node", "behind"]
    assert spans.one("after").parent == spans.one("node").parent


def test_a_stopped_run_leaves_no_span_open() -> None:
    spans = Spans()
    tracer = spans.provider.get_tracer("test")
    agent = tracer.start_span("agent")
    run = RunSpans(tracer, agent, str, captures_content=False)
    copy_context().run(lambda: run.begin(ONE, None, "node", is_client=False))
    run.close()
    assert (spans.one("node").attributes or {})["error.type"] == "cancelled"
    assert agent.is_recording()
    assert parent_of(spans.one("node")).startswith("00-")


@pytest.mark.parametrize(
    "usage", [[1], "many", {"output_tokens": 5}, {"input_token_details": [1]}, {"output_tokens": 10**30}]
)
def test_a_call_with_unusable_usage_ends_its_span(usage: Any) -> None:
    spans = Spans()
    tracer = spans.provider.get_tracer("test")
    run = RunSpans(tracer, tracer.start_span("agent"), str, captures_content=False)
    calls = TracedCalls(run)

    def call() -> None:
        calls.on_chat_model_start({}, [[]], run_id=ONE, metadata={"ls_model_name": "m"})
        calls.on_llm_end(answer_with(usage), run_id=ONE)

    copy_context().run(call)
    assert "error.type" not in (spans.one("chat m").attributes or {})


@pytest.mark.parametrize("usage", [[1], "many", 5])
def test_usage_that_is_no_mapping_is_not_counted(usage: Any) -> None:
    counted = TokenUsage()
    ModelCalls((), (), counted).on_llm_end(answer_with(usage), run_id=ONE)
    assert counted.take() == []


def answer_with(usage: Any) -> LLMResult:
    """Return an answer of a model of the user, which reports what it likes."""
    message = AIMessage("Done.")
    message.usage_metadata = usage
    return LLMResult(generations=[[ChatGeneration(message=message)]])


async def test_a_collector_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.observability.spans.LAST_EXPORT_SECONDS", 0.01)
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang() -> None:
        asyncio.run_coroutine_threadsafe(hanging.wait(), loop).result()

    tracing = SpanTracing(Spans().provider, redact=str, shut_down=hang)
    tracing.start()
    await tracing.stop()
    await tracing.stop()
    hanging.set()
