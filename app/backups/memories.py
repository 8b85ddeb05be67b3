"""Opens the agents' memory for an export or an import. This imports LangGraph, which takes a second or two."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.factory import MEMORY, SQLITE, checkpoint_url, open_saver
from ..config import Settings
from ..store.ports import Store

if TYPE_CHECKING:
    from ..checkpoints.saver import FencedSaver


@asynccontextmanager
async def memory_to_read(settings: Settings, store: Store) -> AsyncIterator["FencedSaver | None"]:
    """Open the memory for a block. It is None if there is none: it ended with its server, or no agent has run yet."""
    url = checkpoint_url(settings)
    if url == MEMORY or _is_missing_file(url):
        yield None
        return
    async with _opened(settings, store) as saver:
        yield saver


class MemoryToWrite:
    """The memory that an import writes to. It is opened when the first step comes, so that no other import waits."""

    def __init__(self, settings: Settings, store: Store, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._store = store
        self._stack = stack
        self._saver: FencedSaver | None = None

    async def saver(self) -> "FencedSaver | None":
        """Return the memory, open until `stack` is closed; None if it would end with this process."""
        if self._saver is None and checkpoint_url(self._settings) != MEMORY:
            self._saver = await self._stack.enter_async_context(_opened(self._settings, self._store))
        return self._saver


def _is_missing_file(url: str) -> bool:
    return url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()


@asynccontextmanager
async def _opened(settings: Settings, store: Store) -> AsyncIterator["FencedSaver"]:
    queue_id = await store.queue_id()
    url, types, history = checkpoint_url(settings), settings.allowed_state_types, settings.checkpoint_history
    async with open_saver(url, queue_id, types, history) as saver:
        yield saver
