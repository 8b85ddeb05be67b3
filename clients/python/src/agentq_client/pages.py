"""Lists that fetch their next page when the one before is used up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from .core.paging import Paging
from .core.replies import Reply
from .core.requests import Call

T = TypeVar("T")


class Pages(Generic[T]):
    """Iterates over all entries of a list. Each iteration begins anew at the first page."""

    def __init__(self, call: Call[list[T]], send: Callable[[Call[list[T]]], Reply]) -> None:
        self._call = call
        self._send = send

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[list[T]]:
        """Yield the entries page by page. A page may be empty without being the last."""
        paging: Paging[list[T]] = Paging()
        call: Call[list[T]] | None = self._call
        while call is not None:
            reply = self._send(call)
            page = call.read(reply)
            yield page
            call = paging.next_call(call, reply, page)


class AsyncPages(Generic[T]):
    """Iterates over all entries of a list, for asyncio. Each iteration begins anew at the first page."""

    def __init__(self, call: Call[list[T]], send: Callable[[Call[list[T]]], Awaitable[Reply]]) -> None:
        self._call = call
        self._send = send

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for entry in page:
                yield entry

    async def pages(self) -> AsyncIterator[list[T]]:
        """Yield the entries page by page. A page may be empty without being the last."""
        paging: Paging[list[T]] = Paging()
        call: Call[list[T]] | None = self._call
        while call is not None:
            reply = await self._send(call)
            page = call.read(reply)
            yield page
            call = paging.next_call(call, reply, page)
