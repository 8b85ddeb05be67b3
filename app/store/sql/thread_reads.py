"""Reads of threads that both SQL stores share."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from ...clock import to_milliseconds
from ...errors import ThreadNotFound
from ...models.messages import Page, Thread
from ...models.threads import ThreadFilter, ThreadOrder, ThreadSort, ThreadStatus
from ...models.visibility import Visibility
from ..metadata import wanted_thread_metadata
from ..rows import to_thread
from .query_runner import QueryRunner

THREADS_AT_ONCE = 1_000
"""Maximum number of threads that one query compares with a filter."""

Cursor = tuple[int, str]
"""A time in ms and a thread id."""


class ThreadPart(NamedTuple):
    """A part of a list: the threads that match, and the cursor behind which to continue; None at the end."""

    threads: list[Thread]
    cursor: Cursor | None


class CountPart(NamedTuple):
    """A part of a count: how many threads match, and the id behind which to continue; None at the end."""

    matching: int
    after: str | None


class ThreadReads(QueryRunner):
    """Reads of threads, inside a transaction."""

    def thread_part(self, tenant: str, chosen: ThreadFilter, order: ThreadOrder, page: Page) -> ThreadPart:
        """Return a part of `ThreadStore.list_threads` with at most `page.limit` threads."""
        if chosen.ids is not None:
            return ThreadPart(self._threads_of_ids(tenant, chosen, order, page), None)
        time, thread_id = page.cursor or ((2**62, "") if order.descending else (-1, ""))
        window = page.limit if _matches_all(chosen) else THREADS_AT_ONCE
        rows = self.each(
            _query(chosen, order), tenant=tenant, time=time, thread_id=thread_id, window=window, **_values(chosen)
        )
        found: list[Thread] = []
        cursor, seen = None, 0
        for seen, (*row, matches) in enumerate(rows, 1):  # noqa: B007  `seen` is how many rows there were
            if matches:
                found.append(to_thread(row))
            cursor = (row[2] if order.by is ThreadSort.CREATED else row[3], row[0])
            if len(found) == page.limit:
                return ThreadPart(found, cursor)
        return ThreadPart(found, cursor if seen == window else None)

    def _threads_of_ids(self, tenant: str, chosen: ThreadFilter, order: ThreadOrder, page: Page) -> list[Thread]:
        rows: Iterable[Any] = self.each("list_threads_of_ids", tenant=tenant, **_values(chosen))
        return page_of([to_thread(row) for *row, matches in rows if matches], order, page)

    def count_part(self, tenant: str, chosen: ThreadFilter, after: str) -> CountPart:
        """Return a part of `ThreadStore.count_threads`: of the threads with ids behind `after`."""
        source = _source(chosen)
        if chosen.ids is not None or source:
            query = "count_threads_of_ids" if chosen.ids is not None else f"count_threads{source}"
            return CountPart(self.value(query, tenant=tenant, **_values(chosen)), None)
        row = self.row("count_threads", tenant=tenant, after=after, window=THREADS_AT_ONCE, **_values(chosen))
        count, seen, last = row or (0, 0, None)
        return CountPart(int(count or 0), last if seen == THREADS_AT_ONCE else None)

    def thread(self, tenant: str, thread_id: str) -> Thread:
        """Implement `ThreadStore.get_thread`."""
        row = self.row("get_thread", tenant=tenant, thread_id=thread_id)
        if row is None:
            raise ThreadNotFound(thread_id)
        return to_thread(row)


def page_of(threads: list[Thread], order: ThreadOrder, page: Page) -> list[Thread]:
    """Return a page of all threads of a list, which may come in any order."""

    def key(thread: Thread) -> Cursor:
        return to_milliseconds(thread.time(order.by)), thread.thread_id

    ordered = sorted(threads, key=key, reverse=order.descending)
    if (cursor := page.cursor) is not None:
        ordered = [each for each in ordered if (key(each) < cursor if order.descending else key(each) > cursor)]
    return ordered[: page.limit]


def _query(chosen: ThreadFilter, order: ThreadOrder) -> str:
    return f"list_threads{_source(chosen)}_by_{order.by}_{'desc' if order.descending else 'asc'}"


def _source(chosen: ThreadFilter) -> str:
    """Return which index has the fewest threads that do not match, as a part of the query's name. Most are idle."""
    if chosen.visible.subject is not None:
        return "_of_subject"
    return "" if chosen.status in (None, ThreadStatus.IDLE) else "_of_status"


def _matches_all(chosen: ThreadFilter) -> bool:
    """Return whether every thread of the index by which the filter searches matches."""
    visible = Visibility(subject=chosen.visible.subject)
    status = None if visible.subject is not None or chosen.status is ThreadStatus.IDLE else chosen.status
    return chosen == ThreadFilter(status=status, visible=visible)


def _values(chosen: ThreadFilter) -> dict[str, Any]:
    """Return the parameters of the text `chosen_thread`."""
    values = visible_values(chosen.visible)
    del values["agents"]
    ids = array(chosen.ids)
    return {**values, "ids": ids, "status": chosen.status, "metadata": wanted_thread_metadata(chosen)}


def visible_values(visible: Visibility) -> dict[str, Any]:
    """Return the parameters of the texts `visible_thread` and `visible_agent`."""
    threads = visible.threads
    return {
        "subject": visible.subject,
        "thread_ids": None if threads is None else array(threads.ids),
        "thread_prefix": None if threads is None else threads.prefix,
        "agents": array(visible.agents),
    }


def array(texts: frozenset[str] | None) -> str | None:
    """Return texts as a JSON array, None for None."""
    return None if texts is None else json.dumps(sorted(texts))
