"""The built-in agent `chat`: one model, the whole conversation, no tools."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from httpx2 import URL, AsyncClient
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.pregel import Pregel
from pydantic import SecretStr
from typing_extensions import override

from ..errors import AgentUnavailable
from .embedded import CONTEXT_TOKENS, MODEL_NAME, Endpoint

logger = logging.getLogger(__name__)

SYSTEM_PROMPT = "You are a helpful assistant. Answer briefly and correctly."

EXAMPLE_TURNS: tuple[AnyMessage, ...] = (
    HumanMessage("What is the capital of Italy?"),
    AIMessage("The capital of Italy is Rome."),
    HumanMessage("What is 3+4?"),
    AIMessage("3+4 is 7."),
)
"""The embedded model needs two examples to answer short questions correctly (measured: 7 of 7)."""

MAX_ANSWER_TOKENS = 256
MAX_HISTORY_CHARACTERS = 3 * CONTEXT_TOKENS // 2
"""Leaves room for the answer in the context: a token of plain text has at least two characters."""


class EmbeddedPrompt(AgentMiddleware[Any, Any]):
    """Puts the example turns before the conversation, and drops its oldest turns until it fits the model's context."""

    @override
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        return await handler(request.override(messages=[*EXAMPLE_TURNS, *newest(request.messages)]))


def newest(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """Return the newest messages that fit into MAX_HISTORY_CHARACTERS, beginning with a human message if possible.

    The last message is always among them, truncated if necessary.
    """
    budget = MAX_HISTORY_CHARACTERS - len(str(messages[-1].text))
    start = len(messages) - 1
    for index in range(len(messages) - 2, -1, -1):
        budget -= len(str(messages[index].text))
        if budget < 0:
            break
        if isinstance(messages[index], HumanMessage):
            start = index
    last = messages[-1].model_copy(update={"content": str(messages[-1].text)[:MAX_HISTORY_CHARACTERS]})
    return [*messages[start:-1], last]


async def embedded_chat(endpoint: Endpoint, client: AsyncClient) -> Pregel[Any, Any, Any, Any]:
    """Return the chat agent on the embedded model."""
    model = ChatOpenAI(
        model=MODEL_NAME,
        base_url=endpoint.base_url,
        api_key=SecretStr(endpoint.api_key),
        temperature=0,
        max_completion_tokens=MAX_ANSWER_TOKENS,
        max_retries=0,
        http_async_client=client,
        stream_usage=True,
    )
    logger.info(
        "Answering with the embedded model SmolLM2-135M, for first trials. For another model set OPENAI_API_KEY "
        "(and OPENAI_BASE_URL for a compatible endpoint), or MODEL_NAME=provider:model."
    )
    return create_agent(model, system_prompt=SYSTEM_PROMPT, middleware=[EmbeddedPrompt()])


async def hosted_chat(
    model_name: str, api_key: str | None, base_url: str | None, client: AsyncClient
) -> Pregel[Any, Any, Any, Any]:
    """Return the chat agent on a provider's model, such as `gpt-4` or `anthropic:…` (names as in `init_chat_model`).

    Models with OpenAI's protocol use `client`; other models have their own clients. Raises AgentUnavailable for an
    OpenAI model without key and URL.
    """
    provider_options: dict[str, Any] = {}
    if ":" not in model_name or model_name.startswith("openai:"):
        if api_key is None and base_url is None:
            raise AgentUnavailable(
                f"MODEL_NAME={model_name} needs OPENAI_API_KEY. Without a key, leave MODEL_NAME out."
            )
        provider_options = {
            "model_provider": "openai",
            "api_key": api_key or "none",
            "base_url": base_url,
            "http_async_client": client,
            "stream_usage": True,
        }
        model_name = model_name.removeprefix("openai:")
    model: Any = await asyncio.to_thread(init_chat_model, model_name, max_retries=0, **provider_options)
    place = _place_of(model.root_async_client.base_url) if isinstance(model, ChatOpenAI) else "its provider's address"
    logger.info("Answering with the model %s at %s", model_name, place)
    graph: Pregel[Any, Any, Any, Any] = create_agent(model, system_prompt=SYSTEM_PROMPT)
    return graph


def _place_of(url: URL) -> str:
    """Return a base URL without parts that may be secret."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
