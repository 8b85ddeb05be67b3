"""Answers of models that were cut, told from those that are complete."""

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_openai import ChatOpenAI

from app.agents.finish_check import AnswerCutOff, FinishCheck, is_finished
from tests.openai_stub import Answer, CutOff, Step, ToolCall, openai_stub

USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def answer(usage: Any = None, **metadata: str) -> AIMessage:
    return AIMessage("Half of", response_metadata=metadata, usage_metadata=usage)


@pytest.mark.parametrize(
    "message",
    [
        answer(model_provider="openai", finish_reason="stop"),
        answer(model_provider="openai", finish_reason="length"),
        answer(model_provider="openai", status="completed"),
        answer(model_provider="openai", usage=USAGE),
        answer(model_provider="anthropic", stop_reason="end_turn", usage=USAGE),
        answer(model_provider="bedrock_converse", stopReason="end_turn"),
        answer(model_provider="somebody"),
        answer(),
        AIMessageChunk(content="from a model of the user's own"),
    ],
)
def test_an_answer_with_its_finish_or_of_an_unknown_model_is_complete(message: AIMessage) -> None:
    assert is_finished(message)


@pytest.mark.parametrize(
    "message",
    [
        answer(model_provider="openai"),
        answer(model_provider="openai", finish_reason=""),
        answer(model_provider="anthropic", usage=USAGE),
        answer(model_provider="bedrock_converse"),
    ],
)
def test_an_answer_without_its_finish_is_cut(message: AIMessage) -> None:
    assert not is_finished(message)
    with pytest.raises(AnswerCutOff):
        FinishCheck().on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]))


def test_a_plain_text_of_a_model_is_not_judged() -> None:
    FinishCheck().on_llm_end(LLMResult(generations=[[Generation(text="x")]]))


@pytest.mark.parametrize("stream_usage", [False, True])
@pytest.mark.parametrize("step", [Answer("a b c"), ToolCall("find", {"x": 1})])
async def test_complete_answers_of_the_client_pass(step: Step, stream_usage: bool) -> None:
    assert await streamed(step, stream_usage=stream_usage) is None


@pytest.mark.parametrize("stream_usage", [False, True])
@pytest.mark.parametrize("tokens", [0, 2])
async def test_a_stream_that_the_server_ends_early_fails_the_call(tokens: int, stream_usage: bool) -> None:
    step = CutOff("a b c", tokens, in_order=True)
    assert isinstance(await streamed(step, stream_usage=stream_usage), AnswerCutOff)


async def streamed(step: Step, *, stream_usage: bool) -> Exception | None:
    """Return the error that LangChain's client raises while it streams this step.

    The HTTP client is the call's own. LangChain keeps one for each address, and a later stub may get the same port.
    """
    async with openai_stub() as stub, openai.DefaultAsyncHttpxClient() as http:
        stub.replies.append(step)
        model = ChatOpenAI(
            base_url=stub.base_url,
            api_key="none",
            model="gpt-4",
            stream_usage=stream_usage,
            http_async_client=http,
        )
        try:
            async for _ in model.astream("Hello", config={"callbacks": [FinishCheck()]}):
                pass
        except AnswerCutOff as error:
            return error
    return None
