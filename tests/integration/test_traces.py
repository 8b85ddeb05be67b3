"""A message in a trace: from a caller's span through the queue to the calls of models and tools."""

import json
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from app.observability.otel_environment import CAPTURE
from app.webhooks import sender
from tests.contract.builders import CALLER
from tests.graph_control import GraphControl
from tests.integration.conftest import API_KEY, Serve
from tests.integration.test_webhooks import ALLOWED
from tests.openai_stub import Answer, Status, StubServer, ToolCall
from tests.receiver import receiver
from tests.servers import LiveServer, until
from tests.spans import Spans, context_of, links_of, parent_of
from tests.talk import talk

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
HEADERS = {"traceparent": PARENT, "tracestate": "a=1", "baggage": "user=alice"}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """The spans that the test's servers record."""
    return Spans().use(monkeypatch)


async def post(server: LiveServer, path: str, body: dict[str, Any], **headers: str) -> Any:
    response = await server.client.post(path, json=body, headers=headers)
    assert response.status_code == 202, response.text
    return response


async def recorded(server: LiveServer, spans: Spans, message_id: str, attempts: int = 1) -> dict[str, Any]:
    """Wait until a message has ended and its attempts are recorded."""
    status = await server.ended(message_id)
    await until(lambda: len(spans.named("attempt")) == attempts, "the attempt is recorded")
    return status


async def test_a_trace_goes_through_the_queue_to_models_and_tools(
    serve: Serve, spans: Spans, model: StubServer, control: GraphControl
) -> None:
    api = await serve(worker_concurrency=0, agents="tools=tests.graphs:tools")
    model.replies += [ToolCall("_add", {"a": 20, "b": 22}), Answer("It is 42.")]
    response = await post(api, "/messages", {"message": "20 + 22?", "thread_id": "t"}, **HEADERS)
    message_id = response.json()["message_id"]
    assert response.headers["traceparent"] == parent_of(spans.one("receive"))
    worker = await serve(agents="tools=tests.graphs:tools")
    status = await recorded(worker, spans, message_id)
    assert status["trace_id"] == TRACE
    assert (await api.client.get("/messages")).json()["messages"][0]["trace_id"] == TRACE

    assert {context_of(span).trace_id for span in spans.all} == {int(TRACE, 16)}
    receive, wait, attempt = spans.one("receive"), spans.one("wait"), spans.one("attempt")
    assert receive.parent is not None
    assert f"{receive.parent.span_id:016x}" == SPAN
    assert context_of(attempt).trace_state.to_header() == "a=1"
    assert spans.path(wait) == ["receive", "wait"]
    agent = ["receive", "attempt", "invoke_agent tools"]
    paths = [spans.path(span) for span in spans.all]
    assert paths.count([*agent, "node model", "chat gpt-4"]) == 2
    assert paths.count([*agent, "node tools", "execute_tool _add"]) == 1
    assert (receive.kind, attempt.kind, spans.named("chat gpt-4")[0].kind) == (
        SpanKind.SERVER,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
    )
    assert receive.start_time is not None
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert attempt.start_time is not None
    assert wait.start_time <= wait.end_time <= attempt.start_time + 10**9
    chat = dict(spans.named("chat gpt-4")[0].attributes or {})
    assert isinstance(seconds := chat.pop("gen_ai.response.time_to_first_chunk"), float)
    assert seconds > 0
    assert chat == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.response.model": "gpt-4",
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 1,
    }
    tool = dict(spans.one("execute_tool _add").attributes or {})
    assert tool.pop("gen_ai.tool.call.id")
    assert tool == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "_add",
        "gen_ai.tool.type": "function",
    }
    described = attempt.attributes or {}
    assert described["messaging.message.id"] == message_id
    assert described["gen_ai.conversation.id"] == "t"
    assert (described["agentq.attempt"], described["agentq.outcome"]) == (1, "completed")


async def test_no_span_has_keys_or_content(
    serve: Serve, spans: Spans, model: StubServer, control: GraphControl
) -> None:
    server = await serve(agents="tools=tests.graphs:tools")
    model.replies += [ToolCall("_add", {"a": 77_700_000, "b": 777}), Status(401)]
    sent = await server.submit("SECRET-QUESTION", max_attempts=1, metadata={"note": "SECRET-NOTE"})
    status = await recorded(server, spans, sent["message_id"])
    assert status["state"] == "failed"
    shown = " ".join(span.to_json() for span in spans.all)
    for secret in ("SECRET", API_KEY, "77700", "stacktrace", "Incorrect"):
        assert secret not in shown
    failed = spans.named("chat gpt-4")[-1]
    assert (failed.attributes or {})["error.type"] == "OpenAIAuthenticationError"
    assert failed.status.status_code is StatusCode.ERROR
    assert (failed.status.description, failed.events) == (None, ())
    assert (spans.one("attempt").attributes or {})["error.type"] == status["error_code"]
    assert (spans.one("invoke_agent tools").attributes or {})["error.type"] == status["error_code"]


async def test_content_is_recorded_when_it_is_asked_for(
    serve: Serve, spans: Spans, model: StubServer, control: GraphControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    server = await serve(agents="tools=tests.graphs:tools")
    model.replies += [ToolCall("_add", {"a": 20, "b": 22}), Answer("It is 42.")]
    sent = await server.submit(f"20 + 22? The key is {API_KEY}.")
    await recorded(server, spans, sent["message_id"])
    asked, answered = ((each.attributes or {}) for each in spans.named("chat gpt-4"))
    assert json.loads(str(asked["gen_ai.input.messages"])) == [
        {"role": "user", "parts": [{"type": "text", "content": "20 + 22? The key is ***."}]}
    ]
    (call,) = json.loads(str(asked["gen_ai.output.messages"]))[0]["parts"]
    assert (call["type"], call["name"], call["arguments"]) == ("tool_call", "_add", {"a": 20, "b": 22})
    (result,) = json.loads(str(answered["gen_ai.input.messages"]))[-1]["parts"]
    assert result == {"type": "tool_call_response", "id": call["id"], "response": "42"}
    tool = spans.one("execute_tool _add").attributes or {}
    assert (json.loads(str(tool["gen_ai.tool.call.arguments"])), tool["gen_ai.tool.call.result"]) == (
        {"a": 20, "b": 22},
        "42",
    )


async def test_attempts_link_to_the_attempts_before_them(serve: Serve, spans: Spans, control: GraphControl) -> None:
    server = await serve(agents="flaky=tests.graphs:flaky", retry_base_seconds=0)
    control.crash("flaky")
    sent = await server.submit(agent="flaky")
    status = await recorded(server, spans, sent["message_id"], attempts=2)
    assert status["attempt"] == 2
    first, second = spans.named("attempt")
    assert (links_of(first), links_of(second)) == ([], [parent_of(first)])
    assert [(each.attributes or {})["agentq.outcome"] for each in (first, second)] == ["retry", "completed"]
    assert len(spans.named("wait")) == 1
    assert status["trace_id"] == f"{context_of(first).trace_id:032x}"


async def test_an_answer_links_to_its_question_and_the_next_attempt_to_both(
    serve: Serve, spans: Spans, control: GraphControl
) -> None:
    server = await serve(agents="asking=tests.graphs:asking")
    message_id = (await server.submit(agent="asking"))["message_id"]
    await until(lambda: spans.named("attempt"), "the agent asks")
    await until_interrupted(server, message_id)
    response = await post(server, f"/messages/{message_id}/resume", {"value": "Yes."}, **HEADERS)
    await recorded(server, spans, message_id, attempts=2)
    asked, answered = spans.named("attempt")
    _, resumed = spans.named("receive")
    assert response.headers["traceparent"] == parent_of(resumed)
    assert resumed.parent is not None
    assert resumed.parent.trace_id == int(TRACE, 16)
    assert links_of(resumed) == [parent_of(asked)]
    assert links_of(answered) == [parent_of(asked), parent_of(resumed)]
    assert context_of(answered).trace_id == context_of(asked).trace_id != int(TRACE, 16)
    assert {span.status.status_code for span in spans.all} == {StatusCode.UNSET}


async def until_interrupted(server: LiveServer, message_id: str) -> None:
    async def asks() -> bool:
        return bool((await server.status(message_id))["state"] == "interrupted")

    await until(asks, "the message is interrupted")


async def test_spans_of_an_agents_own_code_begin_inside_its_run(serve: Serve, spans: Spans) -> None:
    agents = "inner=tests.traced_agents:inner,graph=tests.traced_agents:graph"
    server = await serve(agents=agents)
    for agent in ("inner", "graph"):
        sent = await server.submit(agent=agent)
        await server.ended(sent["message_id"])
    await until(lambda: len(spans.named("attempt")) == 2, "both attempts are recorded")
    around = ["receive", "attempt"]
    assert [spans.path(span) for span in spans.named("own")] == [
        [*around, "invoke_agent inner", "own"],
        [*around, "invoke_agent inner", "own"],  # on a thread
        [*around, "invoke_agent graph", "node asynchronous", "own"],
        [*around, "invoke_agent graph", "node synchronous", "own"],
    ]


async def test_a_trace_that_its_caller_does_not_record_is_passed_on_and_not_recorded(
    serve: Serve, spans: Spans
) -> None:
    server = await serve(agents="tells=tests.traced_agents:tells")
    response = await post(server, "/messages", {"message": "?"}, traceparent=f"00-{TRACE}-{SPAN}-00")
    status = await server.ended(response.json()["message_id"])
    assert status["result"] == f"{TRACE} False"
    assert status["trace_id"] == TRACE
    assert spans.all == []


@pytest.mark.parametrize("parent", ["x", f"00-{'0' * 32}-{SPAN}-01", PARENT.upper()])
async def test_a_malformed_traceparent_begins_a_new_trace(serve: Serve, spans: Spans, parent: str) -> None:
    server = await serve(worker_concurrency=0)
    await post(server, "/messages", {"message": "?"}, traceparent=parent, tracestate="a=1")
    assert spans.one("receive").parent is None


async def test_a_batch_is_one_request(serve: Serve, spans: Spans) -> None:
    server = await serve(worker_concurrency=0)
    response = await post(server, "/messages/batch", {"messages": [{"message": "1"}, {"message": "2"}]}, **HEADERS)
    receive = spans.one("receive")
    assert response.headers["traceparent"] == parent_of(receive)
    assert (receive.attributes or {})["messaging.batch.message_count"] == 2
    for each in response.json()["messages"]:
        assert (await server.status(each["message_id"]))["trace_id"] == TRACE


async def test_a_refused_submit_is_a_failed_span(serve: Serve, spans: Spans) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1)
    await server.submit()
    assert (await server.client.post("/messages", json={"message": "?"})).status_code == 503
    failed = spans.named("receive")[-1]
    assert (failed.attributes or {})["error.type"] == "queue_full"
    assert failed.status.status_code is StatusCode.ERROR


async def test_without_an_exporter_the_trace_of_a_caller_is_kept(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    response = await post(server, "/messages", {"message": "?"}, **HEADERS)
    assert response.headers["traceparent"] == PARENT
    status = await server.status(response.json()["message_id"])
    assert status["trace_id"] == TRACE
    stored = await server.runtime.services.queue.get(CALLER, status["message_id"])
    assert stored.trace == f"{PARENT}\na=1"
    untraced = await post(server, "/messages", {"message": "?"})
    assert "traceparent" not in untraced.headers
    assert (await server.status(untraced.json()["message_id"]))["trace_id"] is None


async def test_a_frame_names_its_own_trace(serve: Serve, spans: Spans, control: GraphControl) -> None:
    server = await serve(agents="asking=tests.graphs:asking")
    async with talk(server.url) as client:
        accepted = await client.ask("submit", message="?", traceparent=PARENT, tracestate="a=1")
        assert accepted["traceparent"] == parent_of(spans.one("receive"))
        assert context_of(spans.one("receive")).trace_state.to_header() == "a=1"
        await until_interrupted(server, accepted["message_id"])
        resumed = await client.ask("resume", message_id=accepted["message_id"], value=1, traceparent="x")
        receive = spans.named("receive")[-1]
        assert (resumed["traceparent"], receive.parent) == (parent_of(receive), None)
        assert (await client.ask("submit", message="?", subscribe=False))["traceparent"][3:35] != TRACE


async def test_webhooks_name_the_trace_of_their_message(
    serve: Serve, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "POLL_SECONDS", 0.05)
    server = await serve(**ALLOWED)
    async with receiver() as there:
        await post(server, "/messages", {"message": "?", "webhook_url": there.url()}, **HEADERS)
        [got] = await until(lambda: there.requests, "the webhook comes")
    assert got.headers["traceparent"] == parent_of(spans.one("receive"))
    assert got.headers["tracestate"] == "a=1"
