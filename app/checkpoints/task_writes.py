"""Saves what a step's tasks have written together with the checkpoint that follows. See docs/adr/0055.

LangGraph gives a task's writes to the saver when the task ends, and the checkpoint when all tasks of the step have
ended. After the last task, both come within a few turns of the event loop. One save is then cheaper than two.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from langgraph.checkpoint.base import WRITES_IDX_MAP

from .answers import Writes
from .fence import Mark
from .message_lists import Dump, Encoded

TURNS = 10
"""Number of turns of the event loop that writes wait for their checkpoint. LangGraph takes one or two of them."""

Graph = tuple[str, str]
"""The memory key of a conversation, and the namespace of the graph or of a subgraph."""


class Place(NamedTuple):
    """The checkpoint that tasks follow, and the mark of their attempt."""

    memory_key: str
    namespace: str
    checkpoint_id: str | None
    mark: Mark | None

    @property
    def graph(self) -> Graph:
        """Return the graph that the checkpoint belongs to."""
        return self.memory_key, self.namespace


class WriteRow(NamedTuple):
    """One write. `number` tells it from the task's other writes; a special channel has its own."""

    number: int
    channel: str
    encoded: Encoded


class TaskWrites(NamedTuple):
    """The writes of one task. With `replaces`, rows with these numbers are replaced; else they stay as they are."""

    task_id: str
    task_path: str
    values: Writes
    rows: Sequence[WriteRow]
    replaces: bool

    @classmethod
    def of(cls, task_id: str, task_path: str, values: Writes, dump: Dump) -> "TaskWrites":
        """Return the encoded writes of a task. Of two special writes to one channel the last one counts."""
        replaces = all(channel in WRITES_IDX_MAP for channel, _ in values)
        rows = [
            WriteRow(WRITES_IDX_MAP.get(channel, number), channel, dump(value))
            for number, (channel, value) in enumerate(values)
        ]
        if replaces:
            rows = list({row.number: row for row in rows}.values())
        return cls(task_id, task_path, values, rows, replaces)


class WaitingWrites:
    """Writes that wait for the checkpoint of their step. Used on one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Place, dict[asyncio.Future[bool], TaskWrites]] = defaultdict(dict)
        self._saving: dict[Graph, asyncio.Future[None]] = {}

    async def wait(self, place: Place, writes: TaskWrites) -> bool:
        """Wait for the checkpoint that follows `place`. Return whether the writes were saved with it.

        The checkpoint cannot come before the save of an earlier one has ended.
        """
        saved: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[place][saved] = writes
        try:
            for _ in range(TURNS):
                await asyncio.sleep(0)
                if saved not in self._waiting.get(place, ()):
                    return await saved
                if (saving := self._saving.get(place.graph)) is not None:
                    await asyncio.wait([saving])
            return False
        finally:
            self._remove(place, saved)

    @contextmanager
    def taken(self, place: Place) -> Iterator[Sequence[TaskWrites]]:
        """Yield the writes that wait, in their order. The block saves them with the checkpoint, or raises."""
        taken = self._waiting.pop(place, {})
        self._saving[place.graph] = saving = asyncio.get_running_loop().create_future()
        is_saved = False
        try:
            yield tuple(taken.values())
            is_saved = True
        finally:
            saving.set_result(None)
            if self._saving.get(place.graph) is saving:
                del self._saving[place.graph]
            for waiting in taken:
                if not waiting.done():  # its caller was cancelled
                    waiting.set_result(is_saved)

    def _remove(self, place: Place, saved: asyncio.Future[bool]) -> None:
        waiting = self._waiting.get(place)
        if waiting is not None and waiting.pop(saved, None) is not None and not waiting:
            del self._waiting[place]
