"""LangGraph's own client, and its words for what tests send and see."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.servers import LiveServer

AGENTS = "steps=tests.graphs:steps,approving=tests.graphs:approving,failing=tests.graphs:failing"
MISSING = "7f3e4b1c-0000-4000-8000-000000000000"

_RUNS = [f"{place}/runs{how}" for place in ("/threads/{thread_id}", "") for how in ("", "/stream", "/wait", "/crons")]
LANGGRAPH_SUBMITS = {*_RUNS, "/runs/batch", "/threads", "/threads/{thread_id}/commands"}
"""Paths below the mount to which a POST submits."""

LANGGRAPH_READS_BY_POST = {
    *(f"/{kind}/{how}" for kind in ("assistants", "threads", "runs/crons") for how in ("search", "count")),
    *(f"/threads/{{thread_id}}/{what}" for what in ("state/checkpoint", "history", "stream/events")),
    *("/assistants/{assistant_id}/versions", "/store/items/search", "/store/namespaces"),
}
"""Paths below the mount to which a POST only reads."""


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
