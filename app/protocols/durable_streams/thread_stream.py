"""The stream of a thread: the logs of its messages, one after the other. It is never closed."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Self

from ...access.principals import Principal
from ...clock import to_milliseconds
from ...errors import MessageNotFound, ThreadNotFound
from ...events.fanout import Idle
from ...events.tail import WaitingUpdate
from ...models.messages import Message, Thread
from ...policy.lifecycle import TERMINAL
from ...services import Services
from ..cut_runs import EventsGone
from ..run_streams import thread_changes
from .errors import ThreadReplaced
from .forms import Segment
from .message_stream import MessageStream
from .places import BEGINNING, NOW, Place, thread_offset, thread_place
from .streams import PAGE_EVENTS, Batch, beyond

PAGE_MESSAGES = 100
"""Most messages whose logs are read for one reply."""

_BEGINNING = Place(0, 0)


class ThreadStream:
    """The stream of a thread, for one caller."""

    def __init__(self, services: Services, caller: Principal, thread: Thread) -> None:
        self._services = services
        self._caller = caller
        self._thread = thread
        self._tag = f"{to_milliseconds(thread.created_at):x}"

    @classmethod
    async def find(cls, services: Services, caller: Principal, thread_id: str) -> Self:
        """Return the stream of a thread. Raises ThreadNotFound."""
        return cls(services, caller, await services.threads.get_thread(caller, thread_id))

    def offset_of(self, place: Place) -> str:
        """Return the offset of a place."""
        return thread_offset(place, self._tag)

    async def place_of(self, offset: str) -> Place:
        """Return the place of an offset. Raises InvalidRequest, ThreadReplaced."""
        if offset == BEGINNING:
            return _BEGINNING
        if offset == NOW:
            return (await self.tail()).place
        place, tag = thread_place(offset)
        if tag != self._tag:
            raise ThreadReplaced
        if place.message > self._thread.last_number:
            raise beyond(f"the newest message has the number {self._thread.last_number}")
        return place

    async def tail(self) -> Batch:
        """Return an empty batch at the newest place: the end of the first unfinished log, or else of the last one."""
        message = await self._first_unfinished()
        place = Place(self._thread.last_number, 0)
        if message is not None:
            with suppress(MessageNotFound):
                page = await self._services.log.read(self._caller.tenant, message.id, after=0, limit=1)
                place = Place(message.thread_number, page.last)
        return Batch((), place, is_newest=True)

    async def read(self, place: Place, limit: int = PAGE_EVENTS) -> Batch:
        """Return up to `limit` events behind a place. Raises InvalidRequest, EventsGone."""
        segments: list[Segment] = []
        messages = await self._list(max(0, place.message - 1), PAGE_MESSAGES)
        for message in messages:
            seen = place.event if message.thread_number == place.message else 0
            try:
                page = await self._services.log.read(self._caller.tenant, message.id, after=seen, limit=limit)
            except MessageNotFound:
                continue
            if seen > page.last:
                raise beyond(f"message {message.thread_number} has {page.last} events")
            if 0 < seen < page.first - 1:
                raise EventsGone
            place = Place(message.thread_number, page.events[-1].id if page.events else seen)
            if page.events:
                segments.append(Segment(message.id, page.events))
            limit -= len(page.events)
            if place.event < page.last or page.state not in TERMINAL:
                return Batch(segments, place, is_newest=place.event == page.last)
            if limit <= 0:
                return Batch(segments, place, is_newest=False)
        behind = messages and await self._list(messages[-1].thread_number, 1)  # pages may be shorter than asked for
        return Batch(segments, place, is_newest=not behind)

    async def follow(self, place: Place) -> AsyncGenerator[Batch | WaitingUpdate | Idle]:
        """Yield the events behind a place as they come, until the thread is deleted. Raises EventsGone."""
        number = max(0, place.message - 1)
        changes = await thread_changes(self._services, self._caller, self._thread.thread_id)
        async with aclosing(changes):
            while not self._is_stopping():
                try:
                    messages = await self._list(number, PAGE_MESSAGES)
                except ThreadNotFound:
                    return
                for message in messages:
                    async with aclosing(self._follow_message(message, place)) as items:
                        async for item in items:
                            if isinstance(item, Batch):
                                place = item.place
                            yield item
                    number = message.thread_number
                    if self._is_stopping():
                        return
                if not messages:
                    yield Batch((), place, is_newest=True)
                    while isinstance(await anext(changes, None), Idle):
                        yield Idle()

    async def _follow_message(self, message: Message, place: Place) -> AsyncGenerator[Batch | WaitingUpdate | Idle]:
        """Yield the events of a message behind a place until it has ended or was deleted."""
        number = message.thread_number
        seen = place.event if number == place.message else 0
        stream = MessageStream(self._services, self._caller.tenant, message.id)
        with suppress(MessageNotFound):
            async with aclosing(stream.follow(Place(0, seen))) as items:
                async for item in items:
                    if isinstance(item, Batch):
                        is_newest = item.is_newest and not item.is_closed  # the next message may have events
                        yield item._replace(place=Place(number, item.place.event), is_newest=is_newest, is_closed=False)
                    else:
                        yield item

    def _is_stopping(self) -> bool:
        return self._services.streams.is_closing

    async def _first_unfinished(self) -> Message | None:
        """Return the first message that has not ended, else the last one. None without messages.

        The last messages are searched, twice as many each time, until all unfinished ones are found.
        """
        last, states = self._thread.last_number, self._thread.states
        unfinished = sum(count for state, count in states.items() if state not in TERMINAL)
        width, newest = max(1, unfinished), None
        while True:
            behind = max(0, last - width)
            found = []
            async for message in self._messages(behind):
                newest = message
                if message.state not in TERMINAL:
                    found.append(message)
            if len(found) >= max(1, unfinished) or not behind or (newest and not unfinished):
                return found[0] if found else newest
            width *= 2

    async def _messages(self, after: int) -> AsyncIterator[Message]:
        """Yield the messages with numbers above `after`, in order."""
        while messages := await self._list(after, PAGE_MESSAGES):
            for message in messages:
                yield message
            after = messages[-1].thread_number

    async def _list(self, after: int, limit: int) -> list[Message]:
        return await self._services.threads.list_messages(
            self._caller, self._thread.thread_id, after=after, limit=limit
        )
