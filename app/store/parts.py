"""Splits long work into short transactions, so that other requests run in between."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple, Protocol, TypeVar

from ..errors import AgentQueueError
from ..models.audit import NewAudit
from ..models.limits import NO_LIMITS, Limits
from ..models.messages import IfBusy, Message, MessageState, NewMessage
from ..models.statistics import DAY, HOUR, MINUTE
from .limits import MINUTES_KEPT_SECONDS

logger = logging.getLogger(__name__)

T = TypeVar("T")

PART_SECONDS = 0.01
"""About how long a part may hold a lock for which everybody waits."""

SETTLED_AT_ONCE = 1_000
"""Maximum number of messages that get new ranks in one transaction."""

CLEARED_AT_ONCE = 100
"""Maximum number of waiting messages that are cancelled in one transaction."""

ThreadKey = tuple[str, str]
"""Tenant and thread id."""

Cleared = Mapping[ThreadKey, Sequence[tuple[int, str]]]
"""Cancelled messages by thread: thread number and id of each."""


class AcceptRules(NamedTuple):
    """The rules by which new messages of one call are accepted, as `AcceptStore.add` describes them."""

    max_queued: int
    max_queued_of_tenant: int | None = None
    agents: frozenset[str] | None = None
    audit: NewAudit | None = None
    limits: Limits = NO_LIMITS

    def may_cancel(self, agent: str) -> bool:
        """Return whether new messages may cancel those of an agent."""
        return self.agents is None or agent in self.agents


class NamedAlias(NamedTuple):
    """An alias to be stored for a message."""

    tenant: str
    alias: str
    message_id: str


class Unsettled(NamedTuple):
    """A thread to settle further. Ranks of its messages with thread numbers below `below` may be out of date."""

    tenant: str
    thread_id: str
    below: int


class Settling:
    """Settles the rest of long threads: computes the inherited ranks that one transaction left out."""

    def __init__(self, settle: Callable[[Unsettled], Awaitable[Unsettled | None]]) -> None:
        self._settle = settle
        self._tasks: set[asyncio.Task[None]] = set()

    async def complete(self, unsettled: deque[Unsettled], messages: Sequence[Message]) -> None:
        """Take the threads of `messages` out of `unsettled` and settle them, even if the caller is cancelled."""
        if not unsettled:
            return
        threads = {(message.tenant, message.thread_id) for message in messages}
        own: deque[Unsettled] = deque()
        for _ in range(len(unsettled)):
            place = unsettled.popleft()  # no other task runs meanwhile; a thread only appends
            (own if (place.tenant, place.thread_id) in threads else unsettled).append(place)
        if not own:
            return
        task = asyncio.create_task(self._work(own), name="ranks of a long thread")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _work(self, unsettled: deque[Unsettled]) -> None:
        while unsettled:
            place: Unsettled | None = unsettled.popleft()
            try:
                while place is not None:
                    place = await self._settle(place)
            except AgentQueueError as error:
                logger.warning("Messages of a thread keep their ranks: thread=%r, error=%s", place, error)


def aliases_of(new: Sequence[NewMessage]) -> list[NamedAlias]:
    """Return the aliases of these messages."""
    found: list[NamedAlias] = []
    for each in new:
        if each.aliases:
            found += [NamedAlias(each.tenant, alias, each.id) for alias in dict.fromkeys(each.aliases)]
    return found


def depend_on_threads(new: Sequence[NewMessage]) -> bool:
    """Return whether `if_busy` of any message depends on the unfinished messages of its thread."""
    for each in new:  # noqa: SIM110  every submit calls this, and a generator is slower
        if each.if_busy is not IfBusy.ENQUEUE:
            return True
    return False


class HasState(Protocol):
    """A message as a store has read or locked it."""

    @property
    def state(self) -> str:
        """Return the state of the message."""


def only_waits_for_human(unfinished: Sequence[HasState]) -> bool:
    """Return whether the unfinished messages of a thread are one message that waits for a human."""
    return len(unfinished) == 1 and unfinished[0].state == MessageState.INTERRUPTED


def cleared_threads(new: Sequence[NewMessage]) -> list[ThreadKey]:
    """Return each thread in which `new` cancels unfinished messages.

    The list is empty if a message of `new` may be refused because its thread is busy or asks a question.
    """
    if any(each.if_busy is IfBusy.REJECT or not each.behind_question for each in new):
        return []
    clearing = (each for each in new if each.if_busy is not IfBusy.ENQUEUE and each.thread_id is not None)
    return list(dict.fromkeys((each.tenant, each.thread_id or "") for each in clearing))


async def clear(
    new: Sequence[NewMessage], work: Callable[[Sequence[ThreadKey]], Awaitable[Cleared]]
) -> dict[ThreadKey, list[str]]:
    """Cancel, in parts, waiting messages that `new` would cancel because of `if_busy`.

    Each call of `work` cancels up to CLEARED_AT_ONCE messages and returns them. It returns nothing when few are left.
    Returns, by thread, the ids of cancelled messages whose steps the agent has to forget, oldest first.
    """
    rolled_back = {(each.tenant, each.thread_id) for each in new if each.if_busy is IfBusy.ROLLBACK}
    cleared: dict[ThreadKey, list[tuple[int, str]]] = {}
    threads = cleared_threads(new)
    while threads and (part := await work(threads)):
        for key, messages in part.items():
            if key in rolled_back:
                cleared.setdefault(key, []).extend(messages)
    return {key: [message_id for _, message_id in sorted(messages)] for key, messages in cleared.items()}


def within_part(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items, `size` at a time, until PART_SECONDS have passed. The first ones come in any case."""
    end = monotonic() + PART_SECONDS
    for start in range(0, len(items), size):
        yield items[start : start + size]
        if monotonic() >= end:
            return


async def repeat(work: Callable[[], Awaitable[int]], batch: int) -> int:
    """Repeat `work` as long as its result is at least `batch`. Return the sum of the results."""
    done = count = await work()
    while count >= batch:
        count = await work()
        done += count
    return done


async def repeat_up_to(work: Callable[[int], Awaitable[int]], limit: int, part: int) -> int:
    """Repeat `work`, which does up to the given number, until `limit` are done or none is left. Return how many."""
    done = 0
    while done < limit:
        size = min(part, limit - done)
        count = await work(size)
        done += count
        if count < size:
            break
    return done


async def prune(
    work: Callable[[int], Awaitable[tuple[int, list[str], bool]]], limit: int, part: int
) -> tuple[int, list[str]]:
    """Prune up to `limit` messages, `part` in each call of `work`. Return how many, and the memory keys to drop.

    `work` takes a number of messages. It returns how many it pruned, memory keys, and whether more remain.
    """
    done, dropped = 0, []
    while done < limit:
        size = min(part, limit - done)
        count, keys, more = await work(size)
        done += count
        dropped += keys
        if count < size and not more:
            break
    return done, dropped


def kept_seconds(of_hours: float) -> Sequence[tuple[int, float]]:
    """Return how long figures are kept, by the length of their periods. `of_hours` is that of hours and days."""
    return (MINUTE, MINUTES_KEPT_SECONDS), (HOUR, of_hours), (DAY, of_hours)
