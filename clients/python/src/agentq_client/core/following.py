"""The state of one followed message: which request to send, what its bytes mean, and what to do when they end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime

from ..errors import AgentQError, APIError, InvalidRequest, ServerUnreachable, StreamLost
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
from .replies import Reply, refusal
from .requests import LONGEST_WAIT_SECONDS, MAYBE_CARRIED_OUT, NOT_CARRIED_OUT, segment
from .sse import Frame, FrameReader

DEFAULT_RETRY_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 5.0
"""A connection that lasted this long counts as a success, although it brought no event."""

MAX_FRUITLESS_TRIES = 8
SILENCE_SECONDS = 45.0
"""The server sends at least a comment every 15 seconds. After three times as long, the connection is taken as dead."""


class BrokenStream(Exception):
    """The bytes of a connection are not what a server of this kind sends. The stream continues on a new connection."""


class Following:
    """The machine behind both streams. It does no input or output and reads no clock.

    Call `opened` with the head of each reply, `receive` with its bytes, and `interrupted` when a connection ends.
    `terminal` is the last event once there is one. `is_over` also holds when the reader has seen all before.
    """

    def __init__(self, message_id: str, *, after: int | None = None) -> None:
        self.message_id = message_id
        self.answer = AnswerText()
        self.last_event_id = after
        self.position: int | None = None
        self.eta: datetime | None = None
        self.state: str | None = None
        self.attempt: int | None = None
        self.terminal: TerminalEvent | None = None
        self.is_over = False
        self.lost_text = False
        self._given = after
        self._frames = FrameReader()
        self._progress = False
        self._expects_next = after is not None
        self._retry_seconds = DEFAULT_RETRY_SECONDS
        self._fruitless = 0
        self._failure: BaseException | None = None

    @property
    def path(self) -> str:
        """Return the path of the stream."""
        return f"/messages/{segment(self.message_id)}/stream"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last_event_id is not None:
            headers["last-event-id"] = str(self.last_event_id)
        return headers

    def opened(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take the head of a reply. Return whether its body is the stream; the others are given to `refused`.

        Raises BrokenStream if another program has answered.
        """
        self._frames = FrameReader()
        self._progress = False
        self._failure = None
        if status == 204:
            self.is_over = True
            return True
        if status != 200:
            return False
        if not headers.get("content-type", "").startswith("text/event-stream"):
            raise BrokenStream(f"the reply is `{headers.get('content-type')}` and no stream of events")
        return True

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
        try:
            frames = self._frames.feed(piece)
            if self._frames.retry_ms is not None:
                self._retry_seconds = self._frames.retry_ms / 1000
            return [event for frame in frames if (event := self._event(frame)) is not None]
        except ValueError as error:
            raise BrokenStream(str(error)) from error

    def _event(self, frame: Frame) -> StreamEvent | None:
        if frame.event == "message":
            return None
        event_id = int(frame.id) if frame.id and frame.id.isascii() and frame.id.isdigit() else None
        return to_event(frame.event, event_id, frame.data)

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
        if self._progress or lived_seconds >= HEALTHY_SECONDS:
            self._fruitless = 0
        else:
            self._fruitless += 1
        self._progress = False
        if self._fruitless >= MAX_FRUITLESS_TRIES:
            if isinstance(failure, AgentQError) and self.last_event_id == self._given:
                raise failure
            raise StreamLost(
                f"The stream of {self.message_id} brought nothing new in {self._fruitless} tries; "
                f"the last one ended with: {failure or 'the end of the connection'}.",
                message_id=self.message_id,
                last_event_id=self.last_event_id,
                text=self.answer.text,
            ) from failure
        pause = self._retry_seconds * 2.0 ** max(0, self._fruitless - 1)
        asked = failure.retry_after if isinstance(failure, APIError) and failure.retry_after else 0.0
        jitter = random.uniform(1.0, 1.25)  # noqa: S311  spreads load, and guards no secret
        return max(min(pause, MAX_PAUSE_SECONDS) * jitter, min(asked, LONGEST_WAIT_SECONDS))


def unreachable(base_url: str, error: BaseException) -> ServerUnreachable:
    """Return the failure of a connection that was not opened."""
    return ServerUnreachable(f"GET {base_url} got no reply: {str(error) or type(error).__name__}.")
