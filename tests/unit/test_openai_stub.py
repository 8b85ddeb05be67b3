"""The stub behaves like OpenAI's server, seen through the client that the chat agent uses."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.openai_stub import (
    Answer,
    CutOff,
    Gate,
    Hang,
    Outcome,
    ReceivedRequest,
    Status,
    Step,
    StubServer,
    ToolCall,
    follow_directive,
    openai_stub,
    openai_stub_in_thread,
    tokens_of,
)

API_KEY = "sk-a-secret-of-the-test"
DEADLINE = 10.0


@pytest.fixture
async def stub() -> AsyncIterator[StubServer]:
    async with openai_stub() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
        yield client


@pytest.fixture
def model(stub: StubServer, http: httpx2.AsyncClient) -> ChatOpenAI:
    return _model(stub, http)


def _model(stub: StubServer, http: httpx2.AsyncClient, **options: Any) -> ChatOpenAI:
    key = SecretStr(API_KEY)
    return ChatOpenAI(
        model="gpt-4", base_url=stub.base_url, api_key=key, http_async_client=http, max_retries=0, **options
    )


async def _texts(chunks: AsyncIterator[AIMessageChunk]) -> AsyncIterator[str]:
    async for chunk in chunks:
        if chunk.text:
            yield chunk.text


async def test_streams_the_echo_word_by_word(stub: StubServer, model: ChatOpenAI) -> None:
    words = [text async for text in _texts(model.astream("hello  big world"))]

    assert words == ["You", " said:", " hello", "  big", " world"]
    assert stub.requests[0].body["stream"] is True
    assert stub.requests[0].headers["authorization"] == f"Bearer {API_KEY}"
    assert stub.requests[0].outcome is Outcome.ANSWERED


async def test_answers_whole_with_usage(model: ChatOpenAI) -> None:
    message = await model.ainvoke("hello world")

    assert message.text == "You said: hello world"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] == 2
    assert message.usage_metadata["output_tokens"] == 4


@pytest.mark.parametrize(("stream_usage", "total"), [(True, 4), (False, None)])
async def test_usage_comes_in_a_stream_when_asked_for(
    stub: StubServer, http: httpx2.AsyncClient, stream_usage: bool, total: int | None
) -> None:
    whole = AIMessageChunk(content="")
    async for chunk in _model(stub, http, stream_usage=stream_usage).astream("hello"):
        whole += chunk

    assert whole.text == "You said: hello"
    assert whole.response_metadata["finish_reason"] == "stop"
    assert (whole.usage_metadata["total_tokens"] if whole.usage_metadata else None) == total


async def test_the_stream_is_openais_on_the_wire(stub: StubServer, http: httpx2.AsyncClient) -> None:
    stub.replies.append(Answer("Hi you"))
    body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": []}

    response = await http.post(f"{stub.base_url}/chat/completions", json=body)

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-0", "chat.completion.chunk", "m")
    }
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {"content": " you"},
        {},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None, None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}


async def test_no_chunk_speaks_of_usage_unasked(stub: StubServer, http: httpx2.AsyncClient) -> None:
    response = await http.post(f"{stub.base_url}/chat/completions", json={"stream": True, "messages": []})

    *events, _done, _rest = response.text.split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert [(len(chunk["choices"]), "usage" in chunk) for chunk in chunks] == [(1, False)] * len(chunks)


async def test_replies_are_used_up_in_order_before_the_default(stub: StubServer, model: ChatOpenAI) -> None:
    stub.replies.extend([Answer("one"), Answer("two", delay_per_token=0.001, first_token_delay=0.001)])

    assert [(await model.ainvoke("three")).text for _ in range(3)] == ["one", "two", "You said: three"]


async def test_the_default_can_be_the_tests_own(stub: StubServer, model: ChatOpenAI) -> None:
    stub.default = lambda request: Answer(f"number {request.index}")

    assert [(await model.ainvoke("?")).text for _ in range(2)] == ["number 0", "number 1"]


async def test_shows_what_the_users_said(stub: StubServer, model: ChatOpenAI) -> None:
    parts: list[str | dict[str, Any]] = [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]
    await model.ainvoke([SystemMessage("be brief"), HumanMessage("first"), AIMessage("yes?"), HumanMessage(parts)])

    assert stub.text_of_users(0) == ["first", "in parts"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_calls_a_tool(stub: StubServer, http: httpx2.AsyncClient, streaming: bool) -> None:
    arguments = {"city": "São Paulo", "days": 3}
    stub.replies.append(ToolCall("weather", arguments))

    message = await _model(stub, http, streaming=streaming).ainvoke("what is the weather?")

    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [
        ("weather", arguments, "call_0")
    ]
    assert message.response_metadata["finish_reason"] == "tool_calls"


async def test_429_says_when_to_retry(stub: StubServer, model: ChatOpenAI) -> None:
    stub.replies.append(Status(429, headers={"Retry-After": "7"}))

    with pytest.raises(openai.RateLimitError) as caught:
        await model.ainvoke("hello")

    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.code == "rate_limit_exceeded"
    assert len(stub.requests) == 1


async def test_401_repeats_the_key(stub: StubServer, model: ChatOpenAI) -> None:
    stub.replies.append(Status(401))

    with pytest.raises(openai.AuthenticationError, match=API_KEY) as caught:
        await model.ainvoke("hello")

    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", {"error": {"message": "Bad gateway"}}])
async def test_a_status_can_have_any_body(stub: StubServer, model: ChatOpenAI, body: dict[str, Any] | str) -> None:
    stub.replies.append(Status(502, body))

    with pytest.raises(openai.InternalServerError) as caught:
        await model.ainvoke("hello")

    assert caught.value.status_code == 502
    assert "Bad gateway" in caught.value.response.text


@pytest.mark.parametrize("after_tokens", [0, 2, 9])
async def test_a_cut_off_stream_is_an_error_after_its_tokens(
    stub: StubServer, model: ChatOpenAI, after_tokens: int, caplog: pytest.LogCaptureFixture
) -> None:
    stub.replies.append(CutOff("one two three", after_tokens))
    words: list[str] = []

    async def listen() -> None:
        async with asyncio.timeout(DEADLINE):
            async for text in _texts(model.astream("hello")):
                words.append(text)  # noqa: PERF401  # a comprehension would lose the words before the error

    with pytest.raises(openai.APIConnectionError):
        await listen()

    assert words == ["one", " two", " three"][:after_tokens]
    assert stub.requests[0].outcome is Outcome.CUT
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


async def test_a_whole_answer_can_be_cut_off(stub: StubServer, model: ChatOpenAI) -> None:
    stub.replies.append(CutOff("one two three", 2))

    with pytest.raises(openai.APIConnectionError):
        await model.ainvoke("hello")


async def test_a_gate_lets_tokens_through_one_at_a_time(
    stub: StubServer, model: ChatOpenAI, http: httpx2.AsyncClient
) -> None:
    gate = Gate("one two three four")
    stub.replies.append(gate)
    words = aiter(_texts(model.astream("hello")))

    for expected in ["one", " two"]:
        following = asyncio.ensure_future(anext(words))
        await stub.received(1)
        await http.get(f"{stub.base_url}/models")  # a round trip, in which an ungated token would have come
        assert not following.done()
        gate.release()
        assert await following == expected
    assert stub.requests[0].outcome is None

    gate.release_all()
    assert [word async for word in words] == [" three", " four"]
    assert stub.requests[0].outcome is Outcome.ANSWERED


async def test_a_gate_opened_before_the_request_ends_by_itself(stub: StubServer, model: ChatOpenAI) -> None:
    gate = Gate("one two")
    gate.release(2)
    stub.replies.append(gate)

    assert (await model.ainvoke("hello")).text == "one two"


@pytest.mark.parametrize("step", [Hang(), Gate("one two"), Answer("one two", first_token_delay=DEADLINE)])
@pytest.mark.parametrize("streaming", [True, False])
async def test_sees_that_a_cancelled_client_closed(
    stub: StubServer, http: httpx2.AsyncClient, step: Hang | Gate | Answer, streaming: bool
) -> None:
    stub.replies.append(step)
    call = asyncio.create_task(_model(stub, http, streaming=streaming).ainvoke("hello"))
    await stub.received(1)
    assert stub.open_connections == 1

    call.cancel()

    await stub.closed(0)
    await stub.until(lambda: stub.open_connections == 0, "connection closed")
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_closed_fails_when_the_request_was_answered(stub: StubServer, model: ChatOpenAI) -> None:
    await model.ainvoke("hello")

    with pytest.raises(AssertionError, match="Request 0 was not closed by the client but answered to the end"):
        await stub.closed(0)


async def test_waiting_has_a_deadline(stub: StubServer) -> None:
    with pytest.raises(TimeoutError, match=r"Not seen within 0\.01 s: 1 requests received; requests: \[\]"):
        await stub.closed(0, deadline=0.01)


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("#status 503", Status(503)),
        ("#status 429 for the third message", Status(429)),
        ("#delay 0.05 the text  of it", Answer("the text  of it", delay_per_token=0.05)),
        ("#hang", Hang()),
        ("#hang on", Hang()),
        ("#cut 3 the text", CutOff("the text", 3)),
        ("#hanging on", Answer("You said: #hanging on")),
        ("please #hang", Answer("You said: please #hang")),
        ("", Answer("You said: ")),
    ],
)
async def test_follows_directives(stub: StubServer, http: httpx2.AsyncClient, said: str, step: object) -> None:
    asked: list[Step] = []

    def record(request: ReceivedRequest) -> Step:
        asked.append(follow_directive(request))
        return Answer("ok")

    stub.default = record
    await _model(stub, http).ainvoke([HumanMessage("#status 500"), AIMessage("before"), HumanMessage(said)])

    assert asked == [step]


@pytest.mark.parametrize("said", ["#status", "#status five", "#delay 0.1", "#delay x y", "#cut 3", "#cut three words"])
async def test_a_malformed_directive_is_refused(model: ChatOpenAI, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot follow the directive"):
        await model.ainvoke(said)


async def test_a_directive_acts(model: ChatOpenAI) -> None:
    assert [text async for text in _texts(model.astream("#delay 0.001 a few words"))] == ["a", " few", " words"]
    with pytest.raises(openai.InternalServerError):
        await model.ainvoke("#status 500")


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"messages": [{}]}', b'{"messages": ["hello"]}'])
async def test_refuses_what_is_no_chat_request(stub: StubServer, http: httpx2.AsyncClient, content: bytes) -> None:
    response = await http.post(f"{stub.base_url}/chat/completions", content=content)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert stub.requests == []


async def test_lists_models(stub: StubServer, http: httpx2.AsyncClient) -> None:
    client = openai.AsyncOpenAI(base_url=stub.base_url, api_key=API_KEY, http_client=http)

    assert "gpt-4" in [model.id async for model in client.models.list()]


async def test_stopping_ends_what_hangs_and_leaves_nothing_behind(http: httpx2.AsyncClient) -> None:
    before = asyncio.all_tasks()
    async with openai_stub() as stub:
        calls = [asyncio.create_task(_model(stub, http).ainvoke("#hang")) for _ in range(3)]
        await stub.received(3)

    assert [request.outcome for request in stub.requests] == [Outcome.STUB_CLOSED] * 3
    for end in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(end, openai.APIConnectionError)
    assert asyncio.all_tasks() == before
    assert stub.open_connections == 0


async def test_serves_many_at_once(stub: StubServer, model: ChatOpenAI) -> None:
    answers = await asyncio.gather(*(model.ainvoke(f"number {number}") for number in range(20)))

    assert [answer.text for answer in answers] == [f"You said: number {number}" for number in range(20)]
    assert [request.index for request in stub.requests] == list(range(20))


def test_runs_on_a_thread_for_tests_without_a_loop() -> None:
    threads = threading.active_count()
    with openai_stub_in_thread() as stub, httpx2.Client(trust_env=False, verify=False) as http:
        stub.replies.append(Answer("from the thread"))
        key = SecretStr(API_KEY)
        model = ChatOpenAI(model="gpt-4", base_url=stub.base_url, api_key=key, http_client=http, max_retries=0)

        assert model.invoke("hello").text == "from the thread"
        asyncio.run(stub.received(1))

    assert threading.active_count() == threads


async def test_a_test_with_a_loop_can_wait_for_the_thread(http: httpx2.AsyncClient) -> None:
    gate = Gate("one two")
    with openai_stub_in_thread() as stub:
        stub.replies.append(gate)
        words = aiter(_texts(_model(stub, http).astream("hello")))
        gate.release()
        assert await anext(words) == "one"

        call = asyncio.create_task(_model(stub, http).ainvoke("#hang"))
        await stub.received(2)
        call.cancel()
        await stub.closed(1)

        gate.release_all()
        assert [word async for word in words] == [" two"]


@pytest.mark.parametrize("text", ["", " ", "a", " a  b\n\nc ", "\n", "é 日本 "])
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text
