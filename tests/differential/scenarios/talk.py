"""One client's talk with one server, which scenarios are written with."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIError

from tests.graph_control import GraphControl

DEADLINE_SECONDS = 20.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Talk:
    """LangGraph's client, whose requests are recorded, another one that is not recorded, and the graphs' control."""

    client: LangGraphClient
    unrecorded: LangGraphClient
    control: GraphControl

    @property
    def http(self) -> httpx.AsyncClient:
        """Return the HTTP client for requests that LangGraph's client does not make. They are recorded too."""
        return self.client.http.client

    async def thread(self) -> str:
        """Make a thread and return its id."""
        return str((await self.client.threads.create())["thread_id"])

    async def begun(self, thread: str, text: str = "Hello", **fields: Any) -> str:
        """Create a run of `steps` that waits in its second node. Return its id."""
        self.control.hold("second")
        run: Any = await self.client.runs.create(thread, "steps", input=said(text), **fields)
        await until(lambda: self.control.waits("second"), "the second node waits")
        return str(run["run_id"])

    async def until_status(self, thread: str, run: str, status: str) -> None:
        """Wait until a run has this status, without recording it."""

        async def look() -> bool:
            return bool((await self.unrecorded.runs.get(thread, run))["status"] == status)

        await until(look, f"run {run} is {status}")

    async def until_idle(self, thread: str) -> None:
        """Wait until no run of a thread is pending or running, without recording it."""

        async def look() -> bool:
            return bool((await self.unrecorded.threads.get(thread))["status"] != "busy")

        await until(look, f"thread {thread} is idle")


def said(text: str) -> dict[str, Any]:
    """An input with one human message, which has an id."""
    return {"messages": [{"role": "user", "content": text, "id": f"said-{text.lower().replace(' ', '-')}"}]}


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition, sync or async, is true."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, f"not within {DEADLINE_SECONDS:g} s: {what}"
        await asyncio.sleep(POLL_SECONDS)


async def read(stream: AsyncIterator[Any]) -> list[Any]:
    """Read a stream to its end."""
    return [part async for part in stream]


async def refused(request: Awaitable[Any]) -> None:
    """Await a request that a server may refuse. The record says whether it did."""
    try:
        await request
    except (APIError, httpx.HTTPStatusError):
        return
    except Exception as error:
        if type(error) is not Exception:  # the client's own error for a run that failed
            raise
