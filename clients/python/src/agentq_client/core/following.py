"""The state of one followed message: which request to send, what its bytes mean, and what to do when they end."""

from __future__ import annotations

from datetime import datetime

from ..errors import AgentQError, InvalidRequest, StreamLost
from ..events import (
    TERMINAL,
    Processing,
    Reset,
    StreamEvent,
    TerminalEvent,
    Unknown,
    Waiting,
    to_event,
)
from .answer_text import AnswerText
from .reconnecting import BrokenStream, Reconnecting, stream_headers
from .replies import Reply, refusal
from .requests import MAYBE_CARRIED_OUT, NOT_CARRIED_OUT, segment
from .sse import Frame


class Following(Reconnecting[StreamEvent]):
    """The machine behind the streams of messages.

    `terminal` is the last event once there is one. `is_over` also holds when the reader has seen all before.
    """

    def __init__(self, message_id: str, *, after: int | None = None) -> None:
        super().__init__()
        self.message_id = message_id
        self.answer = AnswerText()
        self.last_event_id = after
        self.position: int | None = None
        self.eta: datetime | None = None
        self.state: str | None = None
        self.attempt: int | None = None
        self.terminal: TerminalEvent | None = None
        self.lost_text = False
        self._given = after
        self._expects_next = after is not None

    @property
    def path(self) -> str:
        """Return the path of the stream."""
        return f"/messages/{segment(self.message_id)}/stream"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        return stream_headers(self.last_event_id)

    def refused(self, reply: Reply) -> list[StreamEvent]:
        """Take a refusal. Return a `Reset` if the stream begins anew, nothing if it goes on after a pause.

        Raises the error of a refusal that will stay.
        """
        error = refusal(reply, "GET", self.path)
        self._failure = error
        if (
            isinstance(error, InvalidRequest)
            and self.last_event_id not in (None, self._given)
            and any(field.field.lower() == "last-event-id" for field in error.fields)
        ):
            # A crash of the database took events that this stream has had.
            self.last_event_id, self._given, self._expects_next = None, None, False
            reset = Reset(None, {"text": ""}, "")
            self._apply(reset)
            return [reset]
        if reply.status not in NOT_CARRIED_OUT | MAYBE_CARRIED_OUT:
            raise error
        return []

    def receive(self, piece: bytes) -> list[StreamEvent]:
        """Return the events that end in these bytes, without those that the stream has had.

        `accept` has to be called with each, in order. Raises BrokenStream for bytes of another kind.
        """
        return [event for frame in self._frames_of(piece) if (event := self._event(frame)) is not None]

    def _event(self, frame: Frame) -> StreamEvent | None:
        if frame.event == "message":
            return None
        is_number = frame.id is not None and frame.id.isascii() and frame.id.isdigit()
        try:
            return to_event(frame.event, int(frame.id or "") if is_number else None, frame.data)
        except ValueError as error:
            raise BrokenStream(str(error)) from error

    def accept(self, event: StreamEvent) -> bool:
        """Take the next event. Return whether it is new, and therefore to be shown.

        Raises BrokenStream if an event before it is missing.
        """
        if event.id is not None:
            last = self.last_event_id
            if last is not None and event.id <= last:
                return False
            if last is not None and self._expects_next and event.id != last + 1:
                raise BrokenStream(f"event {event.id} came after event {last}")
            self.last_event_id = event.id
            self._expects_next = True
            self._progress = True
        self._apply(event)
        return True

    def _apply(self, event: StreamEvent) -> None:
        self.lost_text = self.answer.take(event)
        if isinstance(event, Waiting):
            self.position, self.eta = event.position, event.eta
        elif not isinstance(event, Unknown):
            self.position = self.eta = None
        if isinstance(event, Processing):
            self.attempt = event.attempt
        elif isinstance(event, Reset):
            self._expects_next = False
        elif isinstance(event, TERMINAL):
            self.terminal, self.is_over = event, True
        self.state = event.data.get("state", self.state) if "node" not in event.data else self.state

    def interrupted(self, lived_seconds: float, failure: BaseException | None = None) -> float:
        """Take the end of a connection. Return the seconds to wait before the next one.

        Raises StreamLost after several connections without news, and ServerUnreachable if none was ever opened.
        """
        failure = failure or self._failure
        if (pause := self._pause_after(lived_seconds, failure)) is not None:
            return pause
        if isinstance(failure, AgentQError) and self.last_event_id == self._given:
            raise failure
        raise StreamLost(
            f"The stream of {self.message_id} brought nothing new in {self._fruitless} tries; "
            f"the last one ended with: {failure or 'the end of the connection'}.",
            message_id=self.message_id,
            last_event_id=self.last_event_id,
            text=self.answer.text,
        ) from failure
