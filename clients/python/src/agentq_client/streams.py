"""The stream of a message for threads. `async_streams` is the same for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from . import calls
from .core.answer_text import TextFeed
from .core.deadline import Deadline
from .core.following import SILENCE_SECONDS, BrokenStream, Following, unreachable
from .core.outcomes import check_end, check_message
from .core.replies import Reply
from .core.requests import Call
from .errors import ConfigurationError, ServerUnavailable, ServerUnreachable
from .events import Interrupted, StreamEvent, TerminalEvent
from .models import Accepted, Cancellation, Message
from .transport import ConnectionFailed

if TYPE_CHECKING:
    from .client import AgentQ


class MessageStream:
    """The events of a message, once each, over as many connections as it takes.

    Use it in a `with` statement and iterate over it. Leaving it does not stop the message.
    `text`, `position` and `eta` are those after the last event.
    """

    def __init__(
        self,
        client: AgentQ,
        message_id: str | None,
        *,
        after: int | None = None,
        submit: Callable[[Deadline], Accepted] | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        self._client = client
        self._submit = submit
        self._following = None if message_id is None else Following(message_id, after=after)
        self._wait_seconds = wait_seconds
        self._deadline: Deadline | None = None
        self._events = self._read()
        self.accepted: Accepted | None = None

    def __enter__(self) -> MessageStream:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[StreamEvent]:
        return self._events

    def close(self) -> None:
        """Close the connection. The message goes on."""
        self._events.close()

    @property
    def message_id(self) -> str:
        """Return the id of the message."""
        return self._state.message_id

    @property
    def last_event_id(self) -> int | None:
        """Return the id after which `follow` can continue, also in another process."""
        return self._state.last_event_id

    @property
    def text(self) -> str:
        """Return the answer so far, without what was discarded."""
        return self._state.answer.text

    @property
    def position(self) -> int | None:
        """Return the number of messages before it, None when it does not wait."""
        return self._state.position

    @property
    def eta(self) -> datetime | None:
        """Return the estimated start, None when it is not known."""
        return self._state.eta

    @property
    def state(self) -> str | None:
        """Return the message's state by the last event, None before the first."""
        return self._state.state

    @property
    def attempt(self) -> int | None:
        """Return the number of the last attempt that was seen."""
        return self._state.attempt

    @property
    def end(self) -> TerminalEvent | None:
        """Return the terminal event, None before it."""
        return self._state.terminal

    def text_stream(self) -> Iterator[str]:
        """Yield the answer's text, each part once, also when an attempt is tried again.

        Raises TextDiverged if a later attempt says something else, and the error of a message without an answer.
        """
        feed = TextFeed()
        for event in self:
            if text := feed.take(event, self._state.answer, lost=self._state.lost_text):
                yield text
        if self._state.terminal is not None:
            check_end(self.message_id, self._state.terminal)

    def until_done(self) -> Message:
        """Read to the end and return the completed message.

        Raises MessageFailed, MessageCancelled, or MessageInterrupted when the agent asks a human now.
        """
        for event in self:
            if isinstance(event, Interrupted):
                check_message(self._status())
        if self._state.terminal is not None:
            check_end(self.message_id, self._state.terminal)
        message = self._status()
        check_message(message)
        return message

    def cancel(self) -> Cancellation:
        """Cancel the message. The stream then ends with `Cancelled`."""
        return self._client.cancel(self.message_id)

    def _status(self) -> Message:
        deadline = self._deadline or Deadline()
        try:
            return self._client.call(calls.status(self.message_id), deadline)
        except (ServerUnreachable, ServerUnavailable):
            deadline.check(self.message_id)
            raise

    @property
    def _state(self) -> Following:
        if self._following is None:
            raise ConfigurationError("The stream was not started.", cure="Use it in a `with` statement.")
        return self._following

    def _start(self) -> tuple[Following, Deadline]:
        self._deadline = self._deadline or Deadline(self._wait_seconds)
        if self._following is None and self._submit is not None:
            self.accepted = self._submit(self._deadline)
            self._following = Following(self.accepted.message_id)
        return self._state, self._deadline

    def _read(self) -> Generator[StreamEvent, None, None]:
        state, deadline = self._start()
        while not state.is_over:
            began = time.monotonic()
            failure: Exception | None = None
            try:
                yield from self._connection(state, deadline)
            except BrokenStream as error:
                failure = error
            except ConnectionFailed as error:
                failure = unreachable(self._client.base_url, error)
            if not state.is_over:
                deadline.check(state.message_id)
                pause = state.interrupted(time.monotonic() - began, failure)
                time.sleep(deadline.limit(pause))
                deadline.check(state.message_id)

    def _connection(self, state: Following, deadline: Deadline) -> Generator[StreamEvent, None, None]:
        call: Call[Reply] = Call("GET", state.path, lambda reply: reply, headers=state.headers)
        with self._client.opened(call, deadline, silence=SILENCE_SECONDS) as reply:
            if not state.opened(reply.status, reply.headers):
                yield from state.refused(reply.read(deadline.limit(self._client.timeout)))
            elif not state.is_over:
                for piece in reply.pieces(deadline.left):
                    for event in state.receive(piece):
                        if state.accept(event):
                            yield event
                        if state.terminal is not None:
                            return
                    deadline.check(state.message_id)
