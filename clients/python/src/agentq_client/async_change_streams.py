"""The stream of the server's changes for asyncio. `change_streams` is the same for threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .async_reading import AsyncClosing, read
from .core.deadline import Deadline
from .core.watching import Cursor, Watching

if TYPE_CHECKING:
    from .async_client import AsyncAgentQ
    from .models import Change, ChangesReset


class AsyncChangeStream:
    """The changes of the server, once each and without an end, over as many connections as it takes.

    Use it in an `async with` statement and iterate over it. After a `ChangesReset`, load what you show anew.
    """

    def __init__(self, client: AsyncAgentQ, query: Mapping[str, Any], after: str | None) -> None:
        self._state = Watching(query, after)
        self._closing = AsyncClosing()
        self._events = self._read(client)

    async def __aenter__(self) -> AsyncChangeStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Change | ChangesReset]:
        return self._events

    async def close(self) -> None:
        """Close the connection. A reader in another task ends."""
        self._closing.close()
        with suppress(RuntimeError):  # another task reads, and ends it
            await self._events.aclose()

    @property
    def last_event_id(self) -> str | None:
        """Return the id after which `follow` can continue, also in another process. None before the first event."""
        return self._state.last_event_id

    async def _read(self, client: AsyncAgentQ) -> AsyncGenerator[Change | ChangesReset, None]:
        async with aclosing(read(client, self._state, Deadline(), self._closing, lambda: None)) as events:
            async for event in events:
                if not isinstance(event, Cursor):
                    yield event
