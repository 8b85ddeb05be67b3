"""Texts that grow piece by piece, in forms that never change. Pure."""

GrowingText = tuple[str, ...]
"""A text in parts, of which each is longer than the next one. `"".join` gives the text.

A long text has few parts, and each of its characters was copied few times. One text would be copied with each piece. A
part for each piece would be work for Python's collector.
"""


def grown(text: GrowingText, piece: str) -> GrowingText:
    """Return the text with one more piece."""
    while text and len(text[-1]) <= len(piece):
        piece = text[-1] + piece
        text = text[:-1]
    return (*text, piece)
