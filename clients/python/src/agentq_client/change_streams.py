"""The stream of the server's changes for threads. `async_change_streams` is the same for asyncio."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .core.deadline import Deadline
from .core.watching import Cursor, Watching
from .reading import Closing, read

if TYPE_CHECKING:
    from .client import AgentQ
    from .models import Change, ChangesReset


class ChangeStream:
    """The changes of the server, once each and without an end, over as many connections as it takes.

    Use it in a `with` statement and iterate over it. After a `ChangesReset`, load what you show anew.
    """

    def __init__(self, client: AgentQ, query: Mapping[str, Any], after: str | None) -> None:
        self._state = Watching(query, after)
        self._closing = Closing()
        self._events = self._read(client)

    def __enter__(self) -> ChangeStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change | ChangesReset]:
        return self._events

    def close(self) -> None:
        """Close the connection. A reader in another thread ends."""
        self._closing.close()
        with suppress(ValueError):  # another thread reads, and ends it
            self._events.close()

    @property
    def last_event_id(self) -> str | None:
        """Return the id after which `follow` can continue, also in another process. None before the first event."""
        return self._state.last_event_id

    def _read(self, client: AgentQ) -> Generator[Change | ChangesReset, None, None]:
        for event in read(client, self._state, Deadline(), self._closing, lambda: None):
            if not isinstance(event, Cursor):
                yield event
