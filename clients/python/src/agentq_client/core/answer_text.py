"""The text of an answer while it is written: what was discarded is gone, and no text is handed out twice."""

from __future__ import annotations

from ..errors import TextDiverged
from ..events import Content, Discard, Done, Reset, Resumed, Retry, StreamEvent


class AnswerText:
    """Keeps the answer as it is after the events so far."""

    def __init__(self) -> None:
        self._pieces: list[tuple[int, str | None, str]] = []
        self._joined = ""
        self._unjoined: list[str] = []

    @property
    def text(self) -> str:
        """Return the answer so far."""
        if self._unjoined:
            self._joined += "".join(self._unjoined)
            self._unjoined = []
        return self._joined

    def take(self, event: StreamEvent) -> bool:
        """Apply an event. Return whether the text may have lost a part."""
        if isinstance(event, Content):
            self._pieces.append((event.id or 0, event.message, event.text))
            self._unjoined.append(event.text)
            return False
        if isinstance(event, Discard):
            first = event.discard_from
            self._keep([each for each in self._pieces if each[0] < first or each[1] != event.message])
        elif isinstance(event, (Retry, Resumed)):
            self._keep([each for each in self._pieces if each[0] < event.discard_from])
        elif isinstance(event, Reset):
            self._keep([(0, None, event.text)] if event.text else [])
        elif isinstance(event, Done):
            self._keep([(event.id or 0, None, event.text)])
        else:
            return False
        return True

    def _keep(self, pieces: list[tuple[int, str | None, str]]) -> None:
        self._pieces = pieces
        self._joined, self._unjoined = "", [text for _, _, text in pieces]


class TextFeed:
    """Hands out the answer's text once, although an attempt that is tried again writes it again."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._ahead = ""

    def take(self, event: StreamEvent, answer: AnswerText, *, lost: bool) -> str:
        """Return the text to hand out after an event that `answer` has taken; `lost` is what its `take` returned.

        Raises TextDiverged if the text that was handed out is not the beginning of the answer.
        """
        if isinstance(event, Content):
            return self._piece(event.text)
        if not lost:
            return ""
        if isinstance(event, Discard) and event.kept and not self._ahead:
            self._shown = [answer.text]  # what was handed out stays in the conversation, as a step before the answer
            return ""
        return self._align(answer.text, is_end=isinstance(event, Done))

    def _piece(self, piece: str) -> str:
        if not self._ahead:
            self._shown.append(piece)
            return piece
        if self._ahead.startswith(piece):
            self._ahead = self._ahead[len(piece) :]
            return ""
        if piece.startswith(self._ahead):
            news, self._ahead = piece[len(self._ahead) :], ""
            self._shown.append(news)
            return news
        raise TextDiverged("The next attempt says something else than the text before.")

    def _align(self, text: str, *, is_end: bool) -> str:
        shown = "".join(self._shown)
        if text.startswith(shown):
            news = text[len(shown) :]
            self._shown, self._ahead = [text], ""
            return news
        if shown.startswith(text) and not is_end:
            self._shown, self._ahead = [shown], shown[len(text) :]
            return ""
        raise TextDiverged("The answer is another than the text that was handed out.")
