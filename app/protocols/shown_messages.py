"""Finds what is new to readers in what a later attempt shows again. Pure.

An attempt shows the finished steps of earlier attempts again, since their events may not have been stored. Readers have
most of that already. A model may also use the id of a message of which an earlier attempt showed a part.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from rpds import HashTrieMap

from ..models.parts import TEXT_CHUNKS
from .growing_texts import GrowingText, grown

Piece = tuple[str, Any]
"""The type of a chunk and its content."""

_NOTHING: Mapping[str, Any] = {}


class Repeat(NamedTuple):
    """How far an attempt has shown a message again: characters by the types of texts, and the number of other pieces.

    `known` are the texts that readers have, and `others_known` counts the other pieces.
    """

    known: Mapping[str, str]
    others_known: int
    lengths: Mapping[str, int] = _NOTHING
    others: int = 0


class ShownMessage(NamedTuple):
    """The parts of a message of the agent that readers have.

    `id` is the one by which they know it. `attempt` is the last one that showed it. `texts` are by their types, and
    `others` counts the pieces that are no text. `repeat` is None in the attempt that began the message.
    """

    id: str
    attempt: int
    texts: Mapping[str, GrowingText] = _NOTHING
    others: int = 0
    repeat: Repeat | None = None

    @property
    def is_repeated(self) -> bool:
        """Return whether an earlier attempt began the message."""
        return self.repeat is not None

    def in_attempt(self, attempt: int) -> "ShownMessage":
        """Return the message as an attempt finds it."""
        if attempt == self.attempt:
            return self
        known = {kind: "".join(text) for kind, text in self.texts.items()}
        return self._replace(attempt=attempt, repeat=Repeat(known, self.others))

    def with_piece(self, kind: str, piece: Any) -> "tuple[Sequence[Piece], ShownMessage]":
        """Return what readers do not have of one more piece, and the message after it.

        If the text differs from what readers have, it becomes a message with another id, of which they have nothing.
        """
        if kind not in TEXT_CHUNKS:
            return self._with_other(kind, piece)
        if self.repeat is None:
            return [(kind, piece)], self._with_text(kind, piece)
        before = self.repeat.lengths.get(kind, 0)
        known = self.repeat.known.get(kind, "")[before : before + len(piece)]
        if not piece.startswith(known):
            return self._told_anew(kind, piece)
        lengths = {**self.repeat.lengths, kind: before + len(piece)}
        after = self._replace(repeat=self.repeat._replace(lengths=lengths))
        rest = piece[len(known) :]
        return ([(kind, rest)], after._with_text(kind, rest)) if rest else ([], after)

    def _with_text(self, kind: str, piece: str) -> "ShownMessage":
        return self._replace(texts={**self.texts, kind: grown(self.texts.get(kind, ()), piece)})

    def _with_other(self, kind: str, piece: Any) -> "tuple[Sequence[Piece], ShownMessage]":
        repeat = self.repeat
        if repeat is not None and repeat.others < repeat.others_known:
            return [], self._replace(repeat=repeat._replace(others=repeat.others + 1))
        return [(kind, piece)], self._replace(others=self.others + 1)

    def _told_anew(self, kind: str, piece: str) -> "tuple[Sequence[Piece], ShownMessage]":
        assert self.repeat is not None, "it is told again"
        texts = {each: self.repeat.known.get(each, "")[:length] for each, length in self.repeat.lengths.items()}
        texts[kind] = texts.get(kind, "") + piece
        told = {each: text for each, text in texts.items() if text}
        shown = {each: (text,) for each, text in told.items()}
        return list(told.items()), ShownMessage(f"{self.id}-{self.attempt}", self.attempt, shown)


ShownMessages: TypeAlias = "HashTrieMap[str, ShownMessage]"
"""By their ids in the agent's memory, the messages of which readers have something."""


def with_piece(
    messages: ShownMessages, attempt: int, message_id: str, kind: str, piece: Any
) -> tuple[Sequence[Piece], ShownMessage, ShownMessages]:
    """Return what readers do not have of a piece, its message after it, and all messages."""
    found = messages.get(message_id)
    message = ShownMessage(message_id, attempt) if found is None else found.in_attempt(attempt)
    new, message = message.with_piece(kind, piece)
    return new, message, messages.insert(message_id, message)
