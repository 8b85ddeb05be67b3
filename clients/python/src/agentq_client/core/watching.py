"""The state of the stream of changes: which request to send, and what its bytes mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import AgentQError, ChangesLost
from ..models.changes import Change, ChangesReset
from .reconnecting import BrokenStream, Reconnecting, stream_headers
from .replies import Reply, refusal
from .requests import MAYBE_CARRIED_OUT, NOT_CARRIED_OUT
from .sse import Frame

PATH = "/events"
KINDS: dict[str, type[Change | ChangesReset]] = {"change": Change, "reset": ChangesReset}


@dataclass(frozen=True)
class Cursor:
    """Nothing that the reader sees has changed before `id`."""

    id: str


class Watching(Reconnecting[Change | ChangesReset | Cursor]):
    """The machine behind the streams of changes. `last_event_id` is where to continue, None before the first event."""

    def __init__(self, query: Mapping[str, Any], after: str | None) -> None:
        super().__init__()
        self.query = query
        self.last_event_id = after

    @property
    def path(self) -> str:
        """Return the path of the stream."""
        return PATH

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the next request."""
        return stream_headers(self.last_event_id)

    def refused(self, reply: Reply) -> Sequence[Change | ChangesReset | Cursor]:
        """Take a refusal, after which the stream goes on after a pause. Raises the error of one that will stay."""
        error = refusal(reply, "GET", PATH)
        self._failure = error
        if reply.status not in NOT_CARRIED_OUT | MAYBE_CARRIED_OUT:
            raise error
        return ()

    def receive(self, piece: bytes) -> Sequence[Change | ChangesReset | Cursor]:
        """Return the changes that end in these bytes. `accept` has to be called with each, in order.

        Raises BrokenStream for bytes of another kind.
        """
        return [change for frame in self._frames_of(piece) if (change := self._change(frame)) is not None]

    def _change(self, frame: Frame) -> Change | ChangesReset | Cursor | None:
        if not frame.id:
            return None
        if frame.event == "cursor":
            return Cursor(frame.id)
        kind = KINDS.get(frame.event)
        if kind is None:
            return None  # of a later server
        try:
            return kind.model_validate({**json.loads(frame.data), "id": frame.id})
        except (ValueError, TypeError, RecursionError) as error:
            raise BrokenStream(f"the event `{frame.event}` cannot be read: {error}") from error

    def accept(self, event: Change | ChangesReset | Cursor) -> bool:
        """Take the next event. Return whether it is to be shown."""
        self.last_event_id = event.id
        self._progress = True
        return not isinstance(event, Cursor)

    def interrupted(self, lived_seconds: float, failure: BaseException | None = None) -> float:
        """Take the end of a connection. Return the seconds to wait before the next one.

        Raises ChangesLost after several connections without news, or their failure if there was never any.
        """
        failure = failure or self._failure
        if (pause := self._pause_after(lived_seconds, failure)) is not None:
            return pause
        if isinstance(failure, AgentQError) and self.last_event_id is None:
            raise failure
        raise ChangesLost(
            f"The stream of changes brought nothing new in {self._fruitless} tries; "
            f"the last one ended with: {failure or 'the end of the connection'}.",
            last_event_id=self.last_event_id,
        ) from failure
