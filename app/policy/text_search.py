"""Search for a text in messages and threads. Pure."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby

from ..models.messages import Message, MetadataValue, Thread

SEARCHED_LENGTH = 1_000
"""Number of characters of a message's text that are searched, from its beginning."""


FOLDED_TO_ASCII = (
    "\u00df\u0130\u0149\u017f\u01f0\u1e96\u1e97\u1e98\u1e99\u1e9a\u1e9e\u212a"
    "\ufb00\ufb01\ufb02\ufb03\ufb04\ufb05\ufb06"
)
"""All characters beyond ASCII that become ASCII characters, among others, when their case is folded."""


class TextSearch:
    """Finds a text in any case: `STRASSE` matches `Straße`."""

    def __init__(self, text: str) -> None:
        self._wanted = text.casefold()

    @property
    def hint(self) -> str | None:
        """Return the longest part of the text that engines can look for; None if there is none.

        A message that matches has this part in its text or its metadata, or has a character of FOLDED_TO_ASCII. It
        consists of ASCII characters that JSON does not escape, and of letters that have no case.
        """
        parts = ("".join(part) for can, part in groupby(self._wanted, _can_be_looked_for) if can)
        return max(parts, key=len, default=None)

    def matches_message(self, message: Message) -> bool:
        """Return whether the first SEARCHED_LENGTH characters or a value of the metadata contain the text."""
        return self._is_in(message.content[:SEARCHED_LENGTH]) or self._is_in_any(message.metadata)

    def matches_thread(self, thread: Thread) -> bool:
        """Return whether the id, the name or a value of the metadata contains the text."""
        return self._is_in(thread.thread_id) or self._is_in(thread.name or "") or self._is_in_any(thread.metadata)

    def _is_in(self, text: str) -> bool:
        return self._wanted in text.casefold()

    def _is_in_any(self, metadata: Mapping[str, MetadataValue]) -> bool:
        return any(map(self._is_in, _texts(metadata.values())))


def _can_be_looked_for(character: str) -> bool:
    if character.isascii():
        return character.isprintable() and character not in '"\\'
    return unicodedata.category(character) == "Lo"


def _texts(values: Iterable[MetadataValue]) -> Iterable[str]:
    """Yield texts as they are, and other values as JSON."""
    for value in values:
        yield value if isinstance(value, str) else json.dumps(value)
