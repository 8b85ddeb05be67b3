"""The way from one page of a list to the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from ..errors import UnexpectedReply
from .replies import Reply
from .requests import Call

T = TypeVar("T")


class Paging(Generic[T]):
    """Finds the next page of one reading of a list.

    Only the query is taken from a link, so that the key is never sent to another address.
    """

    def __init__(self) -> None:
        self._read: set[str] = set()

    def next_call(self, call: Call[T], reply: Reply, page: T) -> Call[T] | None:
        """Return the call of the page after a reply, None after the last page.

        Raises UnexpectedReply for a link to a page that was read already, so that each list has an end.
        """
        if call.next_page is not None:
            return call.next_page(call, page)
        self._read.add(call.target())
        query = _query_of_link(reply)
        if query is None:
            return None
        following = replace(call, query=query)
        if following.target() in self._read:
            raise UnexpectedReply(f"The next page of {call.path} was read already.", request_id=reply.request_id)
        return following


def _query_of_link(reply: Reply) -> dict[str, list[str]] | None:
    """Return the query of the link to the next page, None without one. Raises UnexpectedReply for no address."""
    for link in reply.headers.get("link", "").split(","):
        address, _, parameters = link.strip().partition(">")
        if address.startswith("<") and 'rel="next"' in parameters:
            query: dict[str, list[str]] = {}
            for name, value in _pairs_of(address[1:], reply):
                query.setdefault(name, []).append(value)
            return query
    return None


def _pairs_of(link: str, reply: Reply) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(link).query, keep_blank_values=True)
    except ValueError as error:
        raise UnexpectedReply(f"The next page cannot be read: {error}.", request_id=reply.request_id) from error
