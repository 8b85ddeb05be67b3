"""Lists messages in short parts. A filter may match few of many messages, and one long query would delay others."""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any, NamedTuple

from ...models.messages import Message, MessagePart, Page
from ..limits import PAGE_TEXT_LENGTH
from ..metadata import metadata_text

FIRST_WINDOW = 1_000
LARGEST_WINDOW = 64_000
SHORT_SECONDS = 0.005
LONG_SECONDS = 0.02


class ScanPart(NamedTuple):
    """A part of a scan: up to `limit` messages and `length` characters, among the `window` numbers below `before`.

    `before` is None for the newest messages.
    """

    before: int | None
    window: int
    limit: int
    length: int


class PartCount(NamedTuple):
    """The number of messages that match in one part. `before` as in `MessagePart`."""

    matching: int
    before: int | None


class PartPlace(NamedTuple):
    """The query of one part, as the end of its name, and its values. `before` as in `MessagePart`."""

    source: str
    values: Mapping[str, Any]
    before: int | None


async def scan(scan_part: Callable[[ScanPart], Awaitable[MessagePart]], page: Page, *, seconds: float) -> MessagePart:
    """Return a page, from as many parts as needed, or what was found when this time is over.

    The window grows after a fast part and shrinks after a slow one.
    """
    end = monotonic() + seconds
    found: list[Message] = []
    before = None if page.cursor is None else page.cursor[0]
    window, length = FIRST_WINDOW, 0
    while True:
        began = monotonic()
        result = await scan_part(ScanPart(before, window, page.limit - len(found), PAGE_TEXT_LENGTH - length))
        window = _next_window(window, monotonic() - began)
        found += result.messages
        length += text_length(result.messages)
        before = result.before
        if before is None or len(found) >= page.limit or length >= PAGE_TEXT_LENGTH or monotonic() >= end:
            return MessagePart(found, before)


async def count(count_part: Callable[[ScanPart], Awaitable[PartCount]], most: int) -> int:
    """Return a count, at most `most`, from as many parts as needed. The window changes as in `scan`."""
    total, before, window = 0, None, FIRST_WINDOW
    while True:
        began = monotonic()
        result = await count_part(ScanPart(before, window, most - total, PAGE_TEXT_LENGTH))
        window = _next_window(window, monotonic() - began)
        total += result.matching
        before = result.before
        if before is None or total >= most:
            return total


def _next_window(window: int, took: float) -> int:
    """Return the window after a part that took this many seconds."""
    if took < SHORT_SECONDS:
        return min(4 * window, LARGEST_WINDOW)
    return max(window // 2, FIRST_WINDOW) if took > LONG_SECONDS else window


def text_length(messages: list[Message]) -> int:
    """Return the number of characters of contents, results, outputs and metadata."""
    return sum(
        len(each.content) + len(each.result or "") + len(each.output or "") + len(metadata_text(each.metadata) or "")
        for each in messages
    )
