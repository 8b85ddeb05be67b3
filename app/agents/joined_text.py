"""Joins characters that were split between pieces of a text: surrogate halves and UTF-8 bytes. Pure."""

import codecs
import re

from ..text import scrubbed

_HALVES = re.compile(r"[\ud800-\udfff]")
_BYTES = re.compile(r"[\udc80-\udcff]+")
"""Bytes that are no complete UTF-8, escaped by Python's `surrogateescape`."""

_LAST_BYTES = re.compile(r"[\udc80-\udcff]+\Z")


class JoinedText:
    """Makes the pieces of one text storable.

    Holds back an incomplete character until its rest arrives. The returned pieces, with the result of `end`, make the
    text that `whole` returns for the joined input.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """Return the text that can be shown after this piece; it may be empty."""
        if not self._held:
            if piece.isascii() and "\x00" not in piece:
                return piece
            if not _HALVES.search(piece):
                return scrubbed(piece)
        text = _joined(self._held + piece)
        end = len(text) - _unfinished(text)
        self._held = text[end:]
        return scrubbed(_decoded(text[:end]))

    def end(self) -> str:
        """Return the text still held back, and begin another text."""
        if not self._held:
            return ""
        held, self._held = self._held, ""
        return scrubbed(held)


def whole(text: str) -> str:
    """Return a complete text in storable form."""
    joined = JoinedText()
    return joined.add(text) + joined.end()


def _joined(text: str) -> str:
    """Return the text with pairs of surrogates joined to characters. Keep lone surrogates."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _decoded(text: str) -> str:
    """Return the text with escaped bytes decoded as UTF-8. Keep invalid bytes."""
    return _BYTES.sub(
        lambda found: found[0].encode("ascii", "surrogateescape").decode("utf-8", "surrogateescape"), text
    )


def _unfinished(text: str) -> int:
    """Return the number of code points at the end of the text that may begin an incomplete character."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return 1
    last = _LAST_BYTES.search(text)
    if last is None:
        return 0
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    decoder.decode(last[0].encode("ascii", "surrogateescape"))
    return len(decoder.getstate()[0])
