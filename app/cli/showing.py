"""Shows the events of a message: its place while it waits, its text while it is written, a line at its end."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..client import errors, events
from ..client.core.answer_text import AnswerText, TextFeed
from . import texts
from .texts import footer, waiting

if TYPE_CHECKING:
    from rich.status import Status

    from ..client.models import Message
    from .terminal import Terminal

SPINNER_WIDTH = 3
"""Columns of the sign before the line that changes, with a free one at the end."""

KINDS: Mapping[type[Any], str] = {
    events.Waiting: "waiting", events.Processing: "processing", events.VersionChanged: "version",
    events.Custom: "custom", events.Node: "node", events.Usage: "usage", events.Retry: "retry",
    events.Interrupted: "interrupted", events.Resumed: "resumed", events.Reset: "reset", events.Done: "done",
    events.Failed: "error", events.Cancelled: "cancelled",
}  # fmt: skip
"""The names of events in the API."""


def kind_of(event: events.StreamEvent) -> str:
    """Return the name of an event in the API."""
    if isinstance(event, events.GraphEvent | events.Unknown):
        return event.kind
    return "chunk" if isinstance(event, events.Chunk) else KINDS[type(event)]


class AnswerView:
    """The view of one message on a terminal, in a pipe, or as JSON lines."""

    def __init__(self, terminal: "Terminal") -> None:
        self._terminal = terminal
        self._answer = AnswerText()
        self._feed = TextFeed()
        self._status: Status | None = None
        self._noted = ""

    def take(self, event: events.StreamEvent) -> None:
        """Show an event. Raises TextDiverged in a pipe if a later attempt says something else."""
        if self._terminal.as_json:
            self._terminal.record({"id": event.id, "type": kind_of(event), "data": dict(event.data)})
            return
        match event:
            case events.Waiting():
                self._progress(waiting(event.position, event.eta, event.reason, event.reason_code))
            case events.Processing():
                self._progress("running" if event.attempt == 1 else f"running, attempt {event.attempt}")
            case events.Reasoning():
                self._progress("reasoning")
            case events.ToolCall():
                self._note(f"calls {event.name}")
            case events.Retry():
                self._note(f"attempt {event.attempt} failed: {event.error}")
            case _:
                pass
        self._show_text(event)

    def reconnects(self, seconds: float) -> None:
        """Say that the connection has ended, and when the next one is tried."""
        if not self._terminal.as_json:
            self._progress(f"the connection ended; the next try is in {texts.seconds(seconds)}")

    def pause(self) -> None:
        """Take the changing line away, before something else is written."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def close(self, message: "Message | None") -> None:
        """End the line of the answer, and write the line about a message that has completed."""
        self.pause()
        self._terminal.end_line()
        if message is not None and self._terminal.shows_progress and (text := footer(message)):
            self._terminal.note(text)

    def _show_text(self, event: events.StreamEvent) -> None:
        lost = self._answer.take(event)
        try:
            text = self._feed.take(event, self._answer, lost=lost)
        except errors.TextDiverged:
            if not self._terminal.shows_data:
                raise
            self._note("The text above is discarded; the answer begins anew.")
            self._feed, text = TextFeed(), self._answer.text
            self._feed.take(events.Reset(None, {}, text), self._answer, lost=True)
        if text:
            self.pause()
            self._terminal.write(text)

    def _progress(self, text: str) -> None:
        """Show what happens: on a line that changes for a person, else as a line for each change."""
        if text == self._noted:
            return
        self._noted = text
        if not self._terminal.animates:
            self._note(text)
            return
        from rich.text import Text

        from .terminal import on_line

        shown = Text(on_line(text))
        shown.truncate(self._terminal.width - SPINNER_WIDTH, overflow="ellipsis")
        if self._status is None:
            if self._terminal.shows_data:
                self._terminal.end_line()
            self._status = self._terminal.console(self._terminal.stderr).status(shown)
            self._status.start()
        else:
            self._status.update(shown)

    def _note(self, text: str) -> None:
        self.pause()
        with suppress(BrokenPipeError):  # the answer goes on without the notes
            self._terminal.note(text)
