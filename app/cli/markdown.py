"""Renders an answer as Markdown while it is written: finished blocks once, the last block again and again."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .terminal import clean

if TYPE_CHECKING:
    from rich.console import Console


PORTION = 8_000
"""Characters of Markdown that are rendered at once. Code takes the longest, about 10 ms for 1,000 characters."""

MAX_HEAD = 1_000
"""Characters of the first two lines of a table that is split."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_RULE = re.compile(r" {0,3}\|?[ :|-]*-[ :|-]*$")
"""The second line of a table."""


class MarkdownFeed:
    """Hands out the finished blocks of a growing answer. `rest` is the block that is still being written."""

    def __init__(self) -> None:
        self._given = ""
        self._blanks = 0
        self._parsed_from = 0
        self.rest = ""

    def take(self, text: str, *, is_end: bool = False) -> tuple[str, bool]:
        """Return the blocks of `text`, the answer so far, that are finished and new.

        The second value tells whether the answer has begun anew, so that what was handed out is no part of it.
        """
        is_new = False
        if not text.startswith(self._given):
            if self._given.startswith(text) and not is_end:  # a later attempt writes the same text again
                self._begin_block()
                return "", False
            self._given, is_new = "", True
            self._begin_block()
        left = text[len(self._given) :]
        cut = len(left) if is_end else self._last_block(left)
        self._given += left[:cut]
        self.rest = left[cut:]
        return left[:cut], is_new

    def flush(self) -> str:
        """Return what is left as finished. The answer goes on behind it."""
        left = self.rest
        self._given += left
        self._begin_block()
        return left

    def keep(self, text: str) -> None:
        """Count what was handed out as a step on the way. `text` is the answer that is left."""
        self._given = text
        self._begin_block()

    def _begin_block(self) -> None:
        self.rest, self._blanks, self._parsed_from = "", 0, 0

    def _last_block(self, text: str) -> int:
        """Return where the last block of a text begins, 0 if it has no further blank line than before."""
        blanks = text.rstrip("\n").count("\n\n")  # those with a line behind
        if blanks <= self._blanks or len(text) < self._parsed_from:
            return 0  # to parse a long block for each of its words takes long
        starts = _starts(text)
        end = sum(map(len, _lines(text)[: starts[-1]])) if starts else 0
        self._parsed_from = len(text) * 9 // 8 if len(text) - end > PORTION else 0
        self._blanks = text[end:].rstrip("\n").count("\n\n")
        return end


def portions(text: str) -> Iterator[tuple[str, bool]]:
    """Split Markdown into parts that are rendered one by one, each with whether it begins with a block.

    It is split between its blocks. Only a block that is too long is split between its lines or words.
    """
    gathered = ""
    for block in _blocks(text):
        if gathered and len(gathered) + len(block) > PORTION:
            yield gathered, True
            gathered = ""
        if len(block) > PORTION:
            yield from ((part, not at) for at, part in enumerate(_parts(block)))
        else:
            gathered += block
    if gathered:
        yield gathered, True


def tail(text: str, most: int) -> str:
    """Return about `most` characters of the end of a block, behind the lines that say what the block is."""
    if len(text) <= most:
        return text
    head, start = _head(text), len(text) - most
    line = text.rfind("\n", 0, start) + 1
    return head + text[line if start - line < most else start :]


def _blocks(text: str) -> Sequence[str]:
    """Return the blocks of a text; the whole text as one if it is short."""
    if len(text) <= PORTION:
        return [text]
    lines = _lines(text)
    starts = [0, *filter(None, _starts(text))]
    return ["".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _starts(text: str) -> Sequence[int]:
    """Return the numbers of the lines with which blocks begin, from 0."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt().disable("inline")  # what is in a block does not matter
    return [token.map[0] for token in parser.parse(text) if token.level == 0 and token.map]


def _lines(text: str) -> Sequence[str]:
    """Return the lines of a text as Markdown counts them, with their ends."""
    return _LINE.findall(text)


def _parts(block: str) -> Iterator[str]:
    """Split a long block. Each part begins with the lines that say what the block is."""
    head, part = _head(block), ""
    for line in _lines(block[len(head) :]):
        for piece in _pieces(line):
            if part and len(part) + len(piece) > PORTION:
                yield head + part
                part = ""
            part += piece
    if part.strip() and not _FENCE.fullmatch(part.strip()):
        yield head + part


def _pieces(line: str) -> Iterator[str]:
    """Split a long line between its words."""
    while len(line) > PORTION:
        cut = line.rfind(" ", 0, PORTION) + 1 or PORTION
        yield line[:cut]
        line = line[cut:]
    yield line


def _head(block: str) -> str:
    """Return the lines that say what a block is: the first one of code, the first two of a table."""
    first, _, rest = block.partition("\n")
    second = rest.partition("\n")[0]
    if _FENCE.match(first):
        return f"{first}\n"
    is_table = "|" in first and "|" in second and len(first) + len(second) < MAX_HEAD and _RULE.match(second)
    return f"{first}\n{second}\n" if is_table else ""


def render(console: "Console", text: str) -> str:
    """Return Markdown as lines for a terminal. The only escapes are colours; a link shows its address."""
    from rich.markdown import Markdown
    from rich.segment import Segment, Segments

    document = Markdown(clean(text), hyperlinks=False, code_theme="ansi_dark")
    shown: list[Segment] = []
    for line in console.render_lines(document, console.options, pad=False):
        # references such as `&#x202e;` have become characters by now
        pieces = [Segment(clean(each.text), each.style) for each in line if not each.control]
        while pieces and not pieces[-1].text.strip():
            pieces.pop()
        shown += [*pieces, Segment.line()]
    while shown[:1] == [Segment.line()]:
        shown.pop(0)
    while shown[-2:] == [Segment.line(), Segment.line()]:
        shown.pop()
    with console.capture() as captured:
        console.print(Segments(shown), end="")
    return captured.get()
