"""What a queued message waits for, and when it is likely to begin."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import NamedTuple, Protocol

from app.errors import StoreError
from app.models import Message, MessageState, Pace, Place
from app.text import rfc3339

PACE_SECONDS = 1.0
"""So old may the pace be by which times are estimated."""


class WaitingCode(StrEnum):
    """Why a message waits. Stable; new ones may come."""

    DELAYED = "delayed"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    THREAD_BUSY = "thread_busy"
    AHEAD_IN_QUEUE = "ahead_in_queue"
    SLOTS_BUSY = "slots_busy"
    STARTING_SOON = "starting_soon"


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """Why a queued message waits: a stable code and a sentence."""

    code: WaitingCode
    message: str


class Outlook(NamedTuple):
    """The estimate is None where nothing is known to make it from; the reason is None unless the message is queued."""

    estimated_start_at: datetime | None
    reason: WaitingReason | None


NOTHING = Outlook(None, None)


def outlook(message: Message, pace: Pace | None, head: Message | None, now: datetime) -> Outlook:
    """What a message has before it.

    `head` is the first unfinished message of its thread, asked for only where this one is behind it. What is not known
    is None; the reason is then the best one that the message itself tells.
    """
    if message.state is not MessageState.QUEUED:
        return NOTHING
    return Outlook(_start(message, pace, head, now), _reason(message, pace, head))


def _reason(message: Message, pace: Pace | None, head: Message | None) -> WaitingReason | None:
    if message.place is Place.DELAYED and message.run_at is not None:
        return WaitingReason(WaitingCode.DELAYED, f"Not to be run before {rfc3339(message.run_at)}.")
    if pace is not None and pace.paused:
        return WaitingReason(WaitingCode.PAUSED, "The queue is paused.")
    if pace is not None and pace.slots == 0:
        return WaitingReason(WaitingCode.NO_WORKER, "No worker is running.")
    if message.place is Place.BEHIND:
        return WaitingReason(WaitingCode.THREAD_BUSY, _in_the_way(message, head))
    return None if message.queue_position is None else _ahead(message.queue_position, pace)


def _ahead(position: int, pace: Pace | None) -> WaitingReason:
    match position:
        case 0 if pace is not None and pace.running >= pace.slots:
            return WaitingReason(WaitingCode.SLOTS_BUSY, "It is the next to be taken, and all workers are busy.")
        case 0:
            return WaitingReason(WaitingCode.STARTING_SOON, "It is the next to be taken.")
        case 1:
            return WaitingReason(WaitingCode.AHEAD_IN_QUEUE, "1 message is ahead of it.")
        case _:
            return WaitingReason(WaitingCode.AHEAD_IN_QUEUE, f"{position} messages are ahead of it.")


def _in_the_way(message: Message, head: Message | None) -> str:
    if head is None or head.id == message.id:
        return "An earlier message of its thread is unfinished."
    what = "asks a human" if head.state is MessageState.INTERRUPTED else f"is {head.state}"
    return f"Message {head.id} of its thread {what}."


def _start(message: Message, pace: Pace | None, head: Message | None, now: datetime) -> datetime | None:
    """The turns of slots that have to end before, by the time that one takes; who finds a free slot begins at once."""
    if pace is None or pace.paused or pace.slots == 0:
        return None
    due = message.run_at
    if message.place is Place.DELAYED:
        return None if due is None else max(due, now)
    if message.queue_position is None:
        return None
    free = max(0, pace.slots - pace.running)
    turns = max(0, math.ceil((message.queue_position + 1 - free) / pace.slots))
    begin = now
    if message.place is Place.BEHIND:
        if head is None or head.state is MessageState.INTERRUPTED:
            return None  # a human takes as long as he likes
        turns = max(turns, message.thread_number - head.thread_number)
        begin = max(now, head.run_at or now)
    if turns and pace.run_seconds is None:
        return None
    start = begin + timedelta(seconds=turns * (pace.run_seconds or 0.0))
    return max(start, due or start)


class Sight(Protocol):
    """What an outlook is made from."""

    def now(self) -> datetime:
        """See `MessageStore.now`."""

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """See `MessageStore.get_head`."""

    async def pace(self) -> Pace:
        """See `MessageStore.pace`."""


class Outlooks:
    """Outlooks of messages as they are now; many cost no more than one look at the pace each second."""

    def __init__(self, sight: Sight, time: Callable[[], float] = monotonic) -> None:
        self._sight = sight
        self._time = time
        self._asking = asyncio.Lock()
        self._pace: Pace | None = None
        self._stale_at = 0.0

    def forget(self) -> None:
        """Look anew: the pace was changed from here."""
        self._stale_at = 0.0

    async def of(self, message: Message) -> Outlook:
        """See `of_each`."""
        (found,) = await self.of_each([message])
        return found

    async def of_each(self, messages: Sequence[Message]) -> list[Outlook]:
        """Of messages of one tenant. While the store is away, what the messages themselves tell."""
        if all(message.state is not MessageState.QUEUED for message in messages):
            return [NOTHING] * len(messages)
        pace: Pace | None = None
        heads: dict[str, Message | None] = {}
        try:
            pace = self._pace if self._time() < self._stale_at else await self._new_pace()
            for message in messages:
                if message.place is Place.BEHIND and message.thread_id and message.thread_id not in heads:
                    heads[message.thread_id] = await self._sight.get_head(message.tenant, message.thread_id)
        except StoreError:
            pass  # an answer without an estimate is better than none: the messages are stored
        now = self._sight.now()
        return [outlook(message, pace, heads.get(message.thread_id or ""), now) for message in messages]

    async def _new_pace(self) -> Pace | None:
        async with self._asking:
            if self._time() >= self._stale_at:
                self._pace = await self._sight.pace()
                self._stale_at = self._time() + PACE_SECONDS
        return self._pace
