"""Cancels runs whose readers have left."""

import asyncio
from contextlib import aclosing, suppress

from ..access.principals import Principal
from ..errors import MessageNotFound, NotCancellable
from ..errors.events import EventsLost
from ..models.audit import Actor
from ..services import Services
from .run_streams import stored_events
from .runs import ENDS, Run

GRACE_SECONDS = 5.0
"""How long a run goes on after its only reader left, if it is to be cancelled then. A reconnect takes less."""


class Departure:
    """Cancels a run, in the name `cancels_as`, when its last reader has left."""

    def __init__(self, services: Services, caller: Principal, run: Run, *, cancels_as: Actor) -> None:
        self._services = services
        self._caller = caller
        self._run = run
        self._by = cancels_as

    async def cancel(self) -> None:
        """Cancel the run if nobody reads it after some seconds, unless it has ended.

        A run also ends with a question. Whoever answers it begins another run of the same message, which goes on.
        """
        await asyncio.sleep(GRACE_SECONDS)
        message = self._run.message
        if self._services.streams.readers_of(self._caller.tenant, message.id):
            return
        with suppress(MessageNotFound, NotCancellable, EventsLost):  # it was deleted, has ended or was queued again
            if not await self._has_ended():
                await self._services.queue.cancel(self._caller, message.id, running=True, by=self._by)

    async def _has_ended(self) -> bool:
        """Return whether the log has the end of the run. Raises MessageNotFound."""
        newest = (await self._services.log.read(self._caller.tenant, self._run.message.id, after=0, limit=1)).last
        events = stored_events(self._services, self._caller, self._run, self._run.seen_before, newest)
        async with aclosing(events) as parts:
            async for part in parts:
                if any(event.type in ENDS and event.id >= self._run.first_event for event in part):
                    return True
        return False
