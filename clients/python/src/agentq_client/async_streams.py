"""The stream of a message for asyncio. `streams` is the same for threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from .async_reading import AsyncClosing, read
from .calls import messages as calls
from .core.answer_text import TextFeed
from .core.deadline import Deadline
from .core.following import Following
from .core.outcomes import check_completed, check_end, check_message
from .errors import ConfigurationError, ServerUnavailable, ServerUnreachable
from .events import Interrupted, StreamEvent, TerminalEvent

if TYPE_CHECKING:
    from .async_client import AsyncAgentQ
    from .models import Accepted, Cancellation, Message


class AsyncMessageStream:
    """The events of a message, once each, over as many connections as it takes.

    Use it in an `async with` statement and iterate over it. Leaving it does not stop the message.
    `text`, `position` and `eta` are those after the last event. `on_pause` is called when a connection has ended, with
    the seconds before the next one.
    """

    on_pause: Callable[[float], None] | None = None

    def __init__(
        self,
        client: AsyncAgentQ,
        message_id: str | None,
        *,
        after: int | None = None,
        submit: Callable[[Deadline], Awaitable[Accepted]] | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        self._client = client
        self._submit = submit
        self._following = None if message_id is None else Following(message_id, after=after)
        self._wait_seconds = wait_seconds
        self._deadline: Deadline | None = None
        self._closing = AsyncClosing()
        self._events = self._read()
        self.accepted: Accepted | None = None

    async def __aenter__(self) -> AsyncMessageStream:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self._events

    async def close(self) -> None:
        """Close the connection. A reader in another task ends, and the message goes on."""
        self._closing.close()
        with suppress(RuntimeError):  # another task reads, and ends it
            await self._events.aclose()

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

    async def text_stream(self) -> AsyncIterator[str]:
        """Yield the answer's text, each part once, also when an attempt is tried again.

        Raises TextDiverged if a later attempt says something else, and the error of a message without an answer.
        """
        feed = TextFeed()
        async for event in self:
            if text := feed.take(event, self._state.answer, lost=self._state.lost_text):
                yield text
        if self._state.terminal is not None:
            check_end(self.message_id, self._state.terminal)

    async def until_done(self) -> Message:
        """Read to the end and return the completed message.

        Raises MessageFailed, MessageCancelled, or MessageInterrupted when the agent asks a human now.
        """
        async for event in self:
            if isinstance(event, Interrupted):
                check_message(await self._status())
        if self._state.terminal is not None:
            check_end(self.message_id, self._state.terminal)
        message = await self._status()
        check_completed(message, last_event_id=self.last_event_id, text=self.text)
        return message

    async def cancel(self) -> Cancellation:
        """Cancel the message. The stream then ends with `Cancelled`."""
        return await self._client.cancel(self.message_id)

    async def _status(self) -> Message:
        deadline = self._deadline or Deadline()
        try:
            return await self._client.call(calls.status(self.message_id), deadline)
        except (ServerUnreachable, ServerUnavailable):
            deadline.check(self.message_id)
            raise

    @property
    def _state(self) -> Following:
        if self._following is None:
            raise ConfigurationError("The stream was not started.", cure="Use it in an `async with` statement.")
        return self._following

    async def _start(self) -> tuple[Following, Deadline]:
        self._deadline = self._deadline or Deadline(self._wait_seconds)
        if self._following is None and self._submit is not None:
            self.accepted = await self._submit(self._deadline)
            self._following = Following(self.accepted.message_id)
        return self._state, self._deadline

    async def _read(self) -> AsyncGenerator[StreamEvent, None]:
        state, deadline = await self._start()
        async with aclosing(
            read(self._client, state, deadline, self._closing, lambda: deadline.check(state.message_id), self.on_pause)
        ) as events:
            async for event in events:
                yield event
