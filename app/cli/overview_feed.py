"""Keeps an overview up to date: the stream of changes says when to read it again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from ..client import errors, events
from .overview import Overview, read_overview

if TYPE_CHECKING:
    from ..client import AsyncAgentQ

MIN_READ_SECONDS = 1.0
"""The shortest time between two reads, however many changes there are."""

MAX_READ_SECONDS = 10.0
"""The longest time between two reads, for heartbeats and for what changes without a record."""

REPORT_SECONDS = 60.0
"""The time between two examinations of the server."""

RATE_SECONDS = 5.0
"""The time over which the rate of a message is measured."""

MAX_FOLLOWED = 10
"""How many running messages are followed to measure their rates."""

CHARACTERS_PER_TOKEN = 4
"""The usual length of a token. The true number is known when a step has ended."""


class Rate:
    """The text of a running message: how much there is, and how fast it comes, in tokens by estimate."""

    def __init__(self) -> None:
        self.characters = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._since = time.monotonic()

    def add(self, characters: int) -> None:
        """Count text that has come now."""
        self.characters += characters
        self._recent.append((time.monotonic(), characters))

    @property
    def tokens(self) -> int:
        """Return the tokens so far."""
        return self.characters // CHARACTERS_PER_TOKEN

    @property
    def tokens_per_second(self) -> float:
        """Return the rate of the last seconds."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - RATE_SECONDS:
            self._recent.popleft()
        window = min(RATE_SECONDS, max(now - self._since, MIN_READ_SECONDS))
        return sum(count for _, count in self._recent) / CHARACTERS_PER_TOKEN / window


class OverviewFeed:
    """An overview that is read again when something changes. `trouble` says why it is stale, else it is empty."""

    def __init__(self, client: "AsyncAgentQ", changed: Callable[[], None]) -> None:
        self.overview: Overview | None = None
        self.trouble = ""
        self.rates: dict[str, Rate] = {}
        self._client = client
        self._changed = changed
        self._due = asyncio.Event()
        self._due.set()
        self._examined = float("-inf")
        self._followers: dict[str, asyncio.Task[None]] = {}

    @property
    def read_at(self) -> datetime | None:
        """Return the time of the last read, None before the first."""
        return self.overview.at if self.overview else None

    async def run(self) -> None:
        """Keep the overview up to date until the task is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                tasks.create_task(self._read_again_and_again())
        finally:
            for task in self._followers.values():
                task.cancel()
            await asyncio.gather(*self._followers.values(), return_exceptions=True)

    def read_soon(self) -> None:
        """Have the overview read again, with an examination of the server."""
        self._examined = float("-inf")
        self._due.set()

    async def _watch(self) -> None:
        """Have the overview read again at each change. Without the stream, it is read at its longest time."""
        while True:
            try:
                async with self._client.changes.follow() as changes:
                    async for _ in changes:
                        self._due.set()
            except errors.AgentQError:
                await asyncio.sleep(MAX_READ_SECONDS)

    async def _read_again_and_again(self) -> None:
        while True:
            try:
                async with asyncio.timeout(MAX_READ_SECONDS):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            await self._read()
            self._changed()
            await asyncio.sleep(MIN_READ_SECONDS)

    async def _read(self) -> None:
        examine = time.monotonic() - self._examined >= REPORT_SECONDS
        client = self._client.with_options(max_retries=0)
        try:
            self.overview = await read_overview(client, None if examine else self.overview)
        except errors.AgentQError as error:
            self.trouble = error.what
            self._due.set()
            return
        if examine:
            self._examined = time.monotonic()
        self.trouble = ""
        self._follow([each.id for each in self.overview.queue.processing_messages[:MAX_FOLLOWED]])

    def _follow(self, running: Iterable[str]) -> None:
        """Follow these messages and no others."""
        wanted = set(running)
        for message_id in self._followers.keys() - wanted:
            self._followers.pop(message_id).cancel()
            self.rates.pop(message_id, None)
        for message_id in wanted - self._followers.keys():
            self.rates[message_id] = Rate()
            self._followers[message_id] = asyncio.create_task(self._measure(message_id, self.rates[message_id]))

    async def _measure(self, message_id: str, rate: Rate) -> None:
        try:
            after = await self._count_stored(message_id, rate)
            async with self._client.follow(message_id, after=after) as stream:
                async for event in stream:
                    if isinstance(event, events.Content | events.Reasoning):
                        rate.add(len(event.text))
        except errors.AgentQError:
            return  # the message is shown without its rate

    async def _count_stored(self, message_id: str, rate: Rate) -> int | None:
        """Count what was written before, which is no part of the rate. Return the last event's id."""
        last = None
        while stored := await self._client.stored_events(message_id, after=last):
            written = [each.text for each in stored if isinstance(each, events.Content | events.Reasoning)]
            rate.characters += sum(map(len, written))
            last = stored[-1].id
        return last
