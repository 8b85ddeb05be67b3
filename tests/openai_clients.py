"""OpenAI's own client, for tests of its surface."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx as _httpx  # before agents load: OpenAI's client looks whether it was imported, also half-way
from openai import AsyncOpenAI

from tests.servers import LiveServer

AGENTS = (
    "steps=tests.graphs:steps,approving=tests.graphs:approving,failing=tests.graphs:failing,"
    "tools=tests.graphs:tools,flaky=tests.graphs:flaky,plain=tests.graphs:plain_function"
)

__all__ = ["AGENTS", "OPENAI_SUBMITS", "_httpx", "kinds", "sdk"]

OPENAI_SUBMITS = {"/responses", "/chat/completions", "/conversations", "/conversations/{conversation_id}/items"}
"""Paths below the mount to which a POST submits."""


@contextlib.asynccontextmanager
async def sdk(server: LiveServer, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's client for the surface of a server. It sends each request once."""
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, **options) as client:
        yield client


async def kinds(stream: Any) -> list[str]:
    """The types of all events of a stream."""
    return [event.type async for event in stream]
