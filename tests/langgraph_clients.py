"""LangGraph's own client, and its words for what tests send and see."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.servers import LiveServer

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving,failing=tests.graphs:failing"
MISSING = "7f3e4b1c-0000-4000-8000-000000000000"


@contextlib.asynccontextmanager
async def sdk(server: LiveServer, **headers: str) -> AsyncIterator[LangGraphClient]:
    """LangGraph's client for the surface of a server."""
    async with get_client(url=f"{server.url}/langgraph", api_key=None, headers=headers) as client:
        yield client


def said(text: str) -> dict[str, Any]:
    """An input with one human message."""
    return {"messages": [{"role": "user", "content": text}]}


def texts(values: Any) -> list[str]:
    """The texts of the messages in a state."""
    return [message["content"] for message in values["messages"]]
