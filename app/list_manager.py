"""Lists messages and threads for callers, searches them for a text, and counts them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from .access.principals import Principal
from .access.visible import Readable, VisibleReads
from .clock import to_milliseconds
from .errors import MessageNotFound
from .models.messages import Message, MessageFilter, MessageState, Page, QueueSummary, Thread
from .models.threads import ThreadFilter, ThreadOrder
from .policy.text_search import TextSearch
from .store.limits import PAGE_TEXT_LENGTH
from .store.ports import EventLog

T = TypeVar("T", Message, Thread)

Cursor = tuple[int, str]

MAX_SEARCHED = 2_000
"""Maximum number of messages or threads that one request compares with a text."""

SEARCH_SECONDS = 0.5
"""About the longest time that one request searches."""

SEARCHED_AT_ONCE = 200
"""Number of messages or threads that one read of a search takes, so that no read holds up other callers."""


BEHIND_ALL = 2**53
"""An event id that no log has. A read behind it returns the last id alone."""

MAX_COUNTED = 10_000
"""Highest number of messages that a count by other fields than the state tells. A count reads no further."""


class Part(NamedTuple, Generic[T]):
    """The finds of one read of a search, and the cursor behind which to go on; None at the end of the list."""

    entries: Sequence[T]
    cursor: Cursor | None


class Found(NamedTuple):
    """A part of a search: the matches, and the cursor behind which to go on; None at the end of the list."""

    matches: list[Any]
    cursor: Cursor | None


class Count(NamedTuple):
    """A number of entries. There are more if it is not exact."""

    number: int
    exact: bool


class ListedStore(Readable, EventLog, Protocol):
    """The ports that the list manager needs."""

    async def with_positions(self, tenant: str, messages: Sequence[Message]) -> list[Message]:
        """Return messages with their queue positions."""

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """Return the totals by state, and the first messages."""


class ListManager:
    """Reads lists."""

    def __init__(self, store: ListedStore) -> None:
        self._store = store
        self._visible = VisibleReads(store)

    async def count_events(self, messages: Sequence[Message]) -> dict[str, int]:
        """Return the number of events that each message has written, by its id. Leave out messages that are deleted."""
        found = await asyncio.gather(*map(self._count_events, messages))
        return {message.id: count for message, count in zip(messages, found, strict=True) if count is not None}

    async def _count_events(self, message: Message) -> int | None:
        try:
            return (await self._store.read(message.tenant, message.id, after=BEHIND_ALL, limit=1)).last
        except MessageNotFound:
            return None

    async def search_messages(
        self, caller: Principal, chosen: MessageFilter, page: Page, subject: str | None, text: str
    ) -> Found:
        """Return the newest messages that match the filter and contain the text, up to `page.limit`.

        The store leaves out most messages that do not match. Takes about SEARCH_SECONDS at most, and compares at most
        MAX_SEARCHED messages, fewer if their texts are long. The result may therefore be empty before the end of the
        list.
        """
        search = TextSearch(text)
        end = monotonic() + SEARCH_SECONDS
        hinted = replace(chosen, hint=search.hint)

        async def read(part: Page) -> Part[Message]:
            seconds = max(0.0, end - monotonic())
            found = await self._visible.search_messages(caller, hinted, part, subject, seconds=seconds)
            return Part(found.messages, None if found.before is None else (found.before, ""))

        found = await _search(read, page, search.matches_message, lambda message: (message.number, ""), end=end)
        return found._replace(matches=await self._store.with_positions(caller.tenant, found.matches))

    async def count_messages(self, caller: Principal, chosen: MessageFilter, subject: str | None) -> Count:
        """Return how many messages match the filter. A count by the state alone takes the stored totals."""
        if subject is None and not caller.is_narrowed and chosen == MessageFilter(states=chosen.states):
            totals = (await self._store.summary(caller.tenant, limit=1)).totals
            return Count(sum(totals[state] for state in chosen.states or MessageState), exact=True)
        number = await self._visible.count_messages(caller, chosen, subject, most=MAX_COUNTED + 1)
        return Count(min(number, MAX_COUNTED), exact=number <= MAX_COUNTED)

    async def search_threads(
        self,
        caller: Principal,
        chosen: ThreadFilter,
        page: Page,
        subject: str | None,
        text: str,
        order: ThreadOrder,
    ) -> Found:
        """Return the first threads that match the filter and contain the text, like `search_messages`."""

        def cursor(thread: Thread) -> Cursor:
            return to_milliseconds(thread.time(order.by)), thread.thread_id

        async def read(part: Page) -> Part[Thread]:
            threads = await self._visible.list_threads(caller, part, chosen, order, subject)
            return Part(threads, cursor(threads[-1]) if threads else None)

        return await _search(read, page, TextSearch(text).matches_thread, cursor, end=monotonic() + SEARCH_SECONDS)


async def _search(
    read: Callable[[Page], Awaitable[Part[T]]],
    page: Page,
    matches: Callable[[T], bool],
    cursor_of: Callable[[T], Cursor],
    *,
    end: float,
) -> Found:
    """Return up to `page.limit` entries that match, from several short reads. Begin none after the time `end`."""
    found: list[T] = []
    cursor, seen, length = page.cursor, 0, 0
    while True:
        entries, cursor = await read(Page(SEARCHED_AT_ONCE, cursor))
        for entry in entries:
            if matches(entry):
                found.append(entry)
                if len(found) == page.limit:
                    return Found(found, cursor_of(entry))
        seen += len(entries)
        length += sum(map(_length, entries))
        if cursor is None or seen >= MAX_SEARCHED or length >= PAGE_TEXT_LENGTH or monotonic() >= end:
            return Found(found, cursor)


def _length(entry: Message | Thread) -> int:
    """Return the number of characters of an entry's long texts."""
    if isinstance(entry, Thread):
        return len(entry.last_message_preview)
    return len(entry.content) + len(entry.result or "") + len(entry.output or "")
