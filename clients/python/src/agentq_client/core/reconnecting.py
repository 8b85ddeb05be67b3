"""The part that all streams share: the head of each connection, its frames, and the pause before the next one."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from ..errors import APIError, ServerUnreachable
from .replies import Reply
from .requests import LONGEST_WAIT_SECONDS, shown
from .sse import Frame, FrameReader

E = TypeVar("E")

DEFAULT_RETRY_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 5.0
"""A connection that lasted this long counts as a success, although it brought no event."""

MAX_FRUITLESS_TRIES = 8
SILENCE_SECONDS = 45.0
"""The server sends at least a comment every 15 seconds. After three times as long, the connection is taken as dead."""


class BrokenStream(Exception):
    """The bytes of a connection are not what a server of this kind sends. The stream continues on a new connection."""


class Reconnecting(ABC, Generic[E]):
    """The base of the machines behind streams of events `E`. It does no input or output and reads no clock.

    Call `opened` with the head of each reply, `receive` with its bytes, and `interrupted` when a connection ends.
    `is_over` says that there is nothing more to read.
    """

    query: Mapping[str, Any] = MappingProxyType({})

    def __init__(self) -> None:
        self.is_over = False
        self._frames = FrameReader()
        self._progress = False
        self._retry_seconds = DEFAULT_RETRY_SECONDS
        self._fruitless = 0
        self._failure: BaseException | None = None

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
        if not headers.get("content-type", "").lower().startswith("text/event-stream"):
            raise BrokenStream(f"the reply is `{headers.get('content-type')}` and no stream of events")
        return True

    @property
    @abstractmethod
    def path(self) -> str:
        """Return the path of the stream."""

    @property
    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""

    @abstractmethod
    def refused(self, reply: Reply) -> Sequence[E]:
        """Take a refusal. Return the events to show before the stream goes on after a pause.

        Raises the error of a refusal that will stay.
        """

    @abstractmethod
    def receive(self, piece: bytes) -> Sequence[E]:
        """Return the events that end in these bytes. Call `accept` with each, in order.

        Raises BrokenStream for bytes of another kind.
        """

    @abstractmethod
    def accept(self, event: E) -> bool:
        """Take the next event. Return whether to show it. Raises BrokenStream if an event before it is missing."""

    @abstractmethod
    def interrupted(self, lived_seconds: float, failure: BaseException | None = None) -> float:
        """Take the end of a connection. Return the seconds to wait before the next one.

        Raises the error of a stream that brings nothing more.
        """

    def _frames_of(self, piece: bytes) -> list[Frame]:
        """Return the frames that end in these bytes. Raises BrokenStream."""
        try:
            frames = self._frames.feed(piece)
        except ValueError as error:
            raise BrokenStream(str(error)) from error
        if self._frames.retry_ms is not None:
            self._retry_seconds = self._frames.retry_ms / 1000
        return frames

    def _pause_after(self, lived_seconds: float, failure: BaseException | None) -> float | None:
        """Return the seconds before the next connection. None after several connections without news."""
        if self._progress or lived_seconds >= HEALTHY_SECONDS:
            self._fruitless = 0
        else:
            self._fruitless += 1
        self._progress = False
        if self._fruitless >= MAX_FRUITLESS_TRIES:
            return None
        pause = self._retry_seconds * 2.0 ** max(0, self._fruitless - 1)
        asked = failure.retry_after if isinstance(failure, APIError) and failure.retry_after else 0.0
        jitter = random.uniform(1.0, 1.25)  # noqa: S311  spreads load, and guards no secret
        return max(min(pause, MAX_PAUSE_SECONDS) * jitter, min(asked, LONGEST_WAIT_SECONDS))


def stream_headers(last_event_id: int | str | None) -> dict[str, str]:
    """Return the headers of a request for a stream after an event."""
    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    if last_event_id is not None:
        headers["last-event-id"] = str(last_event_id)
    return headers


def unreachable(base_url: str, error: BaseException) -> ServerUnreachable:
    """Return the failure of a connection that was not opened."""
    return ServerUnreachable(f"GET {shown(base_url)} got no reply: {str(error).rstrip('.') or type(error).__name__}.")
