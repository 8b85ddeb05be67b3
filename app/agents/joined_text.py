"""Joins characters whose halves or bytes came in different pieces of a text. Pure."""

import codecs
import re

from ..text import scrubbed

_HALVES = re.compile(r"[\ud800-\udfff]")
_BYTES = re.compile(r"[\udc80-\udcff]+")
"""Bytes that are not UTF-8 by themselves, as Python's `surrogateescape` keeps them."""

_LAST_BYTES = re.compile(r"[\udc80-\udcff]+\Z")


class JoinedText:
    """Makes the pieces of one text storable.

    The beginning of a character is held back until its rest arrives. All returned pieces, including those from `end`,
    make the same text as `whole` of the input.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def add(self, piece: str) -> str:
        """Return what can be shown after this piece, perhaps nothing."""
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
        """Return the rest of the text. The next piece begins another text."""
        if not self._held:
            return ""
        held, self._held = self._held, ""
        return scrubbed(held)


def whole(text: str) -> str:
    """Return a complete text in storable form."""
    joined = JoinedText()
    return joined.add(text) + joined.end()


def _joined(text: str) -> str:
    """Return the text with pairs of halves joined to characters; single halves stay."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _decoded(text: str) -> str:
    """Return the text with single bytes decoded to characters; invalid bytes stay."""
    return _BYTES.sub(
        lambda found: found[0].encode("ascii", "surrogateescape").decode("utf-8", "surrogateescape"), text
    )


def _unfinished(text: str) -> int:
    """Return how many code points at the end of the text may be the start of an unfinished character."""
    if "\ud800" <= text[-1:] <= "\udbff":
        return 1
    last = _LAST_BYTES.search(text)
    if last is None:
        return 0
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    decoder.decode(last[0].encode("ascii", "surrogateescape"))
    return len(decoder.getstate()[0])
