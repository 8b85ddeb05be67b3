"""The stream of a message: the events of its log. It is closed when the message has ended."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Self

from ...access.principals import Principal
from ...api.streaming import tail_of
from ...events.fanout import Idle, StoredEvents, is_over
from ...events.tail import Reset, WaitingUpdate
from ...models.events import TERMINAL_EVENTS, EventPage
from ...services import Services
from ..cut_runs import EventsGone
from .forms import Segment
from .places import BEGINNING, NOW, Place, message_offset, message_place
from .streams import PAGE_EVENTS, Batch, beyond


class MessageStream:
    """The stream of a message. It begins with the event `first_event`."""

    def __init__(self, services: Services, tenant: str, message_id: str, first_event: int = 0) -> None:
        self._services = services
        self._tenant = tenant
        self._message_id = message_id
        self._beginning = max(0, first_event - 1)

    @classmethod
    async def find(cls, services: Services, caller: Principal, name: str) -> Self:
        """Return the stream of the message with this id or alias. Raises MessageNotFound."""
        message_id, first_event = await services.queue.find(caller, name)
        return cls(services, caller.tenant, message_id, first_event)

    def offset_of(self, place: Place) -> str:
        """Return the offset of a place."""
        return message_offset(place)

    async def place_of(self, offset: str) -> Place:
        """Return the place of an offset. Raises InvalidRequest."""
        if offset == BEGINNING:
            return Place(0, self._beginning)
        return (await self.tail()).place if offset == NOW else message_place(offset)

    async def tail(self) -> Batch:
        """Return an empty batch at the newest place."""
        page = await self._page(self._beginning, 1)
        return Batch((), Place(0, page.last), is_newest=True, is_closed=is_over(page, page.last))

    async def read(self, place: Place, limit: int = PAGE_EVENTS) -> Batch:
        """Return up to `limit` events behind a place. Raises InvalidRequest, EventsGone."""
        page = await self._page(place.event, limit)
        if place.event > page.last:
            raise beyond(f"the newest event is {page.last}")
        if self._beginning < place.event < page.first - 1:
            raise EventsGone
        last = page.events[-1].id if page.events else place.event
        segments = (Segment(self._message_id, page.events),) if page.events else ()
        return Batch(segments, Place(0, last), is_newest=last == page.last, is_closed=is_over(page, last))

    async def follow(self, place: Place) -> AsyncGenerator[Batch | WaitingUpdate | Idle]:
        """Yield the events behind a place as they come. Raises EventsGone, MessageNotFound."""
        async with aclosing(tail_of(self._services, self._tenant, self._message_id, place.event)) as items:
            async for item in items:
                match item:
                    case StoredEvents():
                        place = Place(0, item.events[-1].id)
                        closed = item.is_newest and item.events[-1].type in TERMINAL_EVENTS
                        segments = (Segment(self._message_id, item.events),)
                        yield Batch(segments, place, item.is_newest, closed, item)
                    case Reset():
                        if place.event > self._beginning:
                            raise EventsGone
                    case _:
                        yield item

    async def _page(self, after: int, limit: int) -> EventPage:
        return await self._services.log.read(self._tenant, self._message_id, after=after, limit=limit)
