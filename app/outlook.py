"""What a queued message waits for, and when it is likely to begin."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import NamedTuple, Protocol

from app.errors import StoreError
from app.models import Message, MessageState, Place
from app.serving import AgentState, Pace
from app.text import rfc3339

PACE_SECONDS = 1.0
"""Cache the pace for this long when nothing is heard of the queue."""

LOOKS_AT_ONCE = 10.0
"""Reads of the pace that may follow each other without a pause."""

LOOKS_PER_SECOND = 20.0
"""Reads of the pace per second while the queue moves all the time."""


class WaitingCode(StrEnum):
    """Why a message waits. Stable; new ones may come."""

    DELAYED = "delayed"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    AGENT_UNAVAILABLE = "agent_unavailable"
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
    stopped = None if pace is None else _stopped(message.agent, pace)
    start = None if pace is None or stopped is not None else _start(message, pace, head, now)
    return Outlook(start, _reason(message, pace, head, stopped))


def _reason(
    message: Message, pace: Pace | None, head: Message | None, stopped: WaitingReason | None
) -> WaitingReason | None:
    if message.place is Place.DELAYED and message.run_at is not None:
        return WaitingReason(WaitingCode.DELAYED, f"Not to be run before {rfc3339(message.run_at)}.")
    if stopped is not None:
        return stopped
    if message.place is Place.BEHIND:
        return WaitingReason(WaitingCode.THREAD_BUSY, _in_the_way(message, head))
    if message.queue_position is None:
        return None
    return _ahead(message.queue_position, None if pace is None else _served(message.agent, pace))


def _stopped(agent: str, pace: Pace) -> WaitingReason | None:
    """Why nothing is begun for this agent; None if messages are."""
    if pace.paused:
        return WaitingReason(WaitingCode.PAUSED, "The queue is paused.")
    if pace.slots == 0:
        return WaitingReason(WaitingCode.NO_WORKER, "No worker is running.")
    unserved = _why_unserved(agent, pace)
    return None if unserved is None else WaitingReason(WaitingCode.AGENT_UNAVAILABLE, unserved)


def _why_unserved(agent: str, pace: Pace) -> str | None:
    """Why no live worker can run this agent, as a sentence; None if one can, or one does not tell its agents."""
    if not pace.groups or any(group.agents is None for group in pace.groups):
        return None
    told = [served for group in pace.groups for served in group.agents or () if served.name == agent]
    states = {served.state for served in told}
    if AgentState.AVAILABLE in states:
        return None
    if AgentState.LOADING in states:
        return f"Agent {agent!r} is still being loaded."
    for served in told:
        cannot = "cannot be run now" if served.state is AgentState.STUCK else "could not be loaded"
        return f"Agent {agent!r} {cannot}: {served.error}"
    return f"No live worker is configured to run agent {agent!r}."


def _served(agent: str, pace: Pace) -> Pace:
    """The pace with the slots, and what runs in them, of the workers that can run this agent."""
    serving = [
        group
        for group in pace.groups
        if group.agents is None
        or any(served.name == agent and served.state is AgentState.AVAILABLE for served in group.agents)
    ]
    if len(serving) == len(pace.groups):
        return pace
    return pace._replace(
        slots=sum(group.slots for group in serving), running=sum(group.running for group in serving), groups=()
    )


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


def _start(message: Message, pace: Pace, head: Message | None, now: datetime) -> datetime | None:
    """The turns of slots that have to end before, by the time that one takes; who finds a free slot begins at once.

    Messages of its agent are begun.
    """
    if head is not None and head.agent != message.agent and _stopped(head.agent, pace) is not None:
        return None
    pace = _served(message.agent, pace)
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


class Hints(Protocol):
    """Hints that the queue moved."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """See `Subscription.on_hint`."""


class Outlooks:
    """Outlooks of messages as they are now.

    The pace is read again once the queue has moved, so that a message accepted just after a claim is told that the slot
    is busy. While the queue moves all the time, it is read LOOKS_PER_SECOND times and is then that much late.
    """

    def __init__(
        self, sight: Sight, moved: AbstractContextManager[Hints], time: Callable[[], float] = monotonic
    ) -> None:
        self._sight = sight
        self._time = time
        self._asking = asyncio.Lock()
        self._pace: Pace | None = None
        self._stale_at = 0.0
        self._moved = self._looking = False
        self._looks = LOOKS_AT_ONCE
        self._counted_at = time()
        self._hearing = ExitStack()  # left with this object, or when the store goes
        self._hearing.enter_context(moved).on_hint(self.forget)

    def forget(self) -> None:
        """Look anew, as often as that is allowed: the queue moved, or the pace was changed from here."""
        self._moved = True

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
            pace = self._pace if self._is_fresh() else await self._present_pace()
            for message in messages:
                if message.place is Place.BEHIND and message.thread_id and message.thread_id not in heads:
                    heads[message.thread_id] = await self._sight.get_head(message.tenant, message.thread_id)
        except StoreError:
            pass  # an answer without an estimate is better than none: the messages are stored
        now = self._sight.now()
        return [outlook(message, pace, heads.get(message.thread_id or ""), now) for message in messages]

    async def has_changed(self) -> bool:
        """Whether the workers or their agents are others than at the last look, which no hint tells."""
        before = self._pace
        try:
            now = await self._present_pace()
        except StoreError:
            return False
        return before is None or now is None or _workers_of(before) != _workers_of(now)

    async def _present_pace(self) -> Pace | None:
        if self._is_fresh():
            return self._pace
        async with self._asking:
            if not self._is_fresh():
                self._moved = False  # what moves from here on may be missed by this look
                self._looks -= 1
                self._looking = True
                try:
                    self._pace = await self._sight.pace()
                    self._stale_at = self._time() + PACE_SECONDS
                finally:
                    self._looking = False
        return self._pace

    def _is_fresh(self) -> bool:
        now = self._time()
        if now >= self._stale_at:
            return False
        if self._looking:
            return self._looks < 1  # while the queue moves all the time, nobody waits for the look under way
        if not self._moved:
            return True
        self._looks = min(LOOKS_AT_ONCE, self._looks + (now - self._counted_at) * LOOKS_PER_SECOND)
        self._counted_at = now
        return self._looks < 1


def _workers_of(pace: Pace) -> tuple[object, ...]:
    return (pace.paused, *((group.slots, group.agents) for group in pace.groups))
