"""Lists messages in short parts. A filter may match few of many messages, and one long query would delay others."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import NamedTuple

from ...models.messages import Message, Page
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


class PartResult(NamedTuple):
    """The messages of one part. The next part begins below the number `before`; None means that none is left."""

    messages: list[Message]
    before: int | None


async def scan(scan_part: Callable[[ScanPart], Awaitable[PartResult]], page: Page) -> list[Message]:
    """Return a page, from as many parts as needed. The window grows after a fast part and shrinks after a slow one."""
    found: list[Message] = []
    before = None if page.cursor is None else page.cursor[0]
    window, length = FIRST_WINDOW, 0
    while True:
        began = monotonic()
        result = await scan_part(ScanPart(before, window, page.limit - len(found), PAGE_TEXT_LENGTH - length))
        took = monotonic() - began
        found += result.messages
        length += text_length(result.messages)
        before = result.before
        if before is None or len(found) >= page.limit or length >= PAGE_TEXT_LENGTH:
            return found
        if took < SHORT_SECONDS:
            window = min(4 * window, LARGEST_WINDOW)
        elif took > LONG_SECONDS:
            window = max(window // 2, FIRST_WINDOW)


def text_length(messages: list[Message]) -> int:
    """Return the number of characters of contents, results, outputs and metadata."""
    return sum(
        len(each.content) + len(each.result or "") + len(each.output or "") + len(metadata_text(each.metadata) or "")
        for each in messages
    )
