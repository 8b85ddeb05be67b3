"""Pages of a list: the filter in the query, the cursor, and the `Link` header to the next page."""

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request
from starlette.datastructures import QueryParams

from ..access.principals import Principal
from ..errors import InvalidRequest
from ..list_manager import MAX_COUNTED
from ..models.messages import Message, MessageFilter, MessageState, Page, Priority
from ..models.threads import ThreadFilter, ThreadStatus
from ..models.types import Text, ThreadId
from ..services import Services
from ..store.limits import PAGE_TEXT_LENGTH
from ..text import escaped, storable
from .deps import PrincipalDep, ServicesDep
from .schemas.metadata import MAX_KEY_LENGTH
from .targets import ANY_METADATA, METADATA

T = TypeVar("T")

MAX_METADATA_FILTERS = 16

MAX_THREAD_IDS = 100

Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of entries.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="Where to continue: from the `Link` of the previous page.")
]
SearchText = Annotated[
    Text | None,
    Query(
        min_length=1,
        max_length=200,
        description="Only entries that contain this text, in any case. A request searches for about half a second, so "
        "a page may be short or empty while `Link` leads on.",
    ),
]
TOTAL, TOTAL_AT_LEAST = "X-Pagination-Total", "X-Pagination-Total-At-Least"
OF_SUBJECT = "Only {} of this end user. None for a caller who acts for another one."
Name = Annotated[Text, Query(min_length=1, max_length=255)]


def decode_cursor(request: Request, cursor: str | None, limit: int) -> Page:
    """Return the page for a cursor that `next_link` made for this list. None means the first page.

    Raises InvalidRequest for any other cursor.
    """
    if cursor is None:
        return Page(limit)
    key = key_of(cursor, request.scope["path"])
    if key is None:
        raise InvalidRequest("cursor: expected a cursor from a Link header of this list", field="cursor")
    return Page(limit, key)


def cursor_of(number: int, text: str, of_list: str) -> str:
    """Return the cursor to the page that follows the entry with the key (`number`, `text`).

    `of_list` names the list, without its filter: its path, or the method of a surface.
    """
    key = json.dumps([number, text, _crc_of(of_list)])
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def key_of(cursor: str, of_list: str) -> tuple[int, str] | None:
    """Return the key in a cursor that `cursor_of` made for this list; None for any other text."""
    try:
        number, text, made_for = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
        if isinstance(number, int) and isinstance(text, str) and abs(number) < 2**63 and made_for == _crc_of(of_list):
            return number, storable(text)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        pass
    return None


def _crc_of(of_list: str) -> int:
    """Return a number that tells a list from others."""
    return zlib.crc32(of_list.encode("utf-8", "surrogatepass"))


def next_link(request: Request, limit: int, number: int, text: str = "") -> dict[str, str]:
    """Return the `Link` header to the page that follows the entry with the key (`number`, `text`).

    The reference is relative, so it is valid behind any proxy.
    """
    cursor = cursor_of(number, text, request.scope["path"])
    path = quote(request.scope["path"], safe="/%:@!$&'()*+,;=~")
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("limit", "cursor")]
    return {"Link": f'<{path}?{urlencode([*kept, ("limit", limit), ("cursor", cursor)])}>; rel="next"'}


def link_by_time(
    request: Request, limit: int, found: Sequence[T], key: Callable[[T], tuple[datetime, str]]
) -> dict[str, str]:
    """Return the `Link` header to the next page, or nothing after the last page.

    `key` returns the time and the id by which the entries are ordered.
    """
    if len(found) < limit:
        return {}
    time, entry_id = key(found[-1])
    return next_link(request, limit, round(time.timestamp() * 1000), entry_id)


def next_cursor(found: Sequence[Message], limit: int, of_list: str) -> str | None:
    """Return the cursor to the next page of a list of messages, as `cursor_of` makes it; None after the last page."""
    number = _next_number(found, limit)
    return None if number is None else cursor_of(number, "", of_list)


def _next_number(found: Sequence[Message], limit: int) -> int | None:
    """Return the number of the message behind which the next page begins; None after the last page.

    A page with long texts may end early, so a page that is not full can have a next page.
    """
    texts = sum(len(each.content) + len(each.result or each.error or "") + len(each.output or "") for each in found)
    if not found or (len(found) < limit and texts < PAGE_TEXT_LENGTH // 4):
        return None
    return found[-1].number


def metadata_of_query(query: QueryParams) -> dict[str, str] | None:
    """Return the values of the query parameters `metadata.KEY` by key; None if there are none.

    Raises InvalidRequest for repeated keys, too many keys, and keys or values that cannot be stored.
    """
    found: dict[str, str] = {}
    for name, value in query.multi_items():
        if not name.startswith(METADATA):
            continue
        key = name.removeprefix(METADATA)
        if key in found:
            raise InvalidRequest(f"{name}: give each key once", field=name)
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            raise InvalidRequest(f"{name}: expected a key of 1 to {MAX_KEY_LENGTH} characters", field=name)
        try:
            found[storable(key)] = storable(value)
        except ValueError as error:
            raise InvalidRequest(f"{escaped(name)}: {error}", field=escaped(name)) from None
    if len(found) > MAX_METADATA_FILTERS:
        raise InvalidRequest(f"metadata: expected at most {MAX_METADATA_FILTERS} keys", field="metadata")
    return found or None


async def _filter_of_query(
    request: Request,
    thread_id: Annotated[ThreadId | None, Query(description="Only messages of this thread.")] = None,
    agent: Annotated[Name | None, Query(description="Only messages for this agent.")] = None,
    priority: Annotated[Priority | None, Query(description="Only messages of this priority.")] = None,
    error_code: Annotated[Name | None, Query(description="Only messages that failed with this code.")] = None,
    fingerprint: Annotated[Name | None, Query(description="Only messages whose failure has this fingerprint.")] = None,
    _any_metadata: Annotated[str | None, Query(alias=ANY_METADATA, include_in_schema=False)] = None,
) -> MessageFilter:
    """Return the filter that the query describes."""
    return MessageFilter(
        thread_id=thread_id,
        agent=agent,
        priority=priority,
        error_code=error_code,
        fingerprint=fingerprint,
        metadata=metadata_of_query(request.query_params),
    )


async def _thread_filter_of_query(
    request: Request,
    thread_id: Annotated[
        list[ThreadId] | None, Query(max_length=MAX_THREAD_IDS, description="Only the threads with these ids.")
    ] = None,
    status: Annotated[ThreadStatus | None, Query(description="Only threads with this status.")] = None,
    _any_metadata: Annotated[str | None, Query(alias=ANY_METADATA, include_in_schema=False)] = None,
) -> ThreadFilter:
    """Return the filter of threads that the query describes."""
    ids = None if thread_id is None else frozenset(thread_id)
    return ThreadFilter(ids=ids, status=status, metadata=metadata_of_query(request.query_params))


ThreadFilterDep = Annotated[ThreadFilter, Depends(_thread_filter_of_query)]


def check_countable(count: bool, q: str | None) -> None:
    """Raise InvalidRequest for a count of a search, which would compare all messages with the text."""
    if count and q is not None:
        raise InvalidRequest("count: expected none with `q`. A search is not counted", field="count")


@dataclass(frozen=True, slots=True)
class MessageListing:
    """A request for a page of messages."""

    request: Request
    services: Services
    principal: Principal
    chosen: MessageFilter
    subject: str | None
    q: str | None
    count: bool
    limit: int
    cursor: str | None

    async def read(self, states: frozenset[MessageState] | None) -> tuple[list[Message], dict[str, str]]:
        """Return the messages in these states (None: all), and the headers: `Link` to the next page, and a count.

        Raises InvalidRequest if the cursor is invalid.
        """
        check_countable(self.count, self.q)
        page = decode_cursor(self.request, self.cursor, self.limit)
        chosen = replace(self.chosen, states=states)
        if self.q is not None:
            return await self._search(chosen, page, self.q)
        found, link = await self._read(chosen, page)
        return found, link | (await self._total(chosen) if self.count else {})

    async def _search(self, chosen: MessageFilter, page: Page, text: str) -> tuple[list[Message], dict[str, str]]:
        found, cursor = await self.services.lists.search_messages(self.principal, chosen, page, self.subject, text)
        return found, {} if cursor is None else next_link(self.request, self.limit, *cursor)

    async def _total(self, chosen: MessageFilter) -> dict[str, str]:
        """Return the header with the exact count, or with the limit of counts if there are more messages."""
        count = await self.services.lists.count_messages(self.principal, chosen, self.subject)
        return {TOTAL if count.exact else TOTAL_AT_LEAST: str(count.number)}

    async def _read(self, chosen: MessageFilter, page: Page) -> tuple[list[Message], dict[str, str]]:
        found = await self.services.queue.list_messages(self.principal, chosen, page, self.subject)
        number = _next_number(found, self.limit)
        return found, {} if number is None else next_link(self.request, self.limit, number)


async def _message_listing(
    request: Request,
    services: ServicesDep,
    principal: PrincipalDep,
    chosen: Annotated[MessageFilter, Depends(_filter_of_query)],
    subject: Annotated[Name | None, Query(description=OF_SUBJECT.format("messages"))] = None,
    q: SearchText = None,
    count: Annotated[
        bool,
        Query(
            description=f"Whether to tell in `{TOTAL}` how many messages match. Above {MAX_COUNTED:,}, "
            f"only `{TOTAL_AT_LEAST}` tells this limit, unless `state` is the only filter. Not with `q`."
        ),
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> MessageListing:
    return MessageListing(request, services, principal, chosen, subject, q, count, limit, cursor)


MessageListingDep = Annotated[MessageListing, Depends(_message_listing)]
