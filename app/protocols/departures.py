"""Cancels runs whose readers have left."""

import asyncio
from contextlib import suppress

from ..access.principals import Principal
from ..errors import MessageNotFound, NotCancellable
from ..models.audit import Actor
from ..services import Services
from .runs import Run

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
        """Cancel the run if nobody reads it after some seconds."""
        await asyncio.sleep(GRACE_SECONDS)
        message_id = self._run.message.id
        if not self._services.streams.readers_of(self._caller.tenant, message_id):
            with suppress(MessageNotFound, NotCancellable):
                await self._services.queue.cancel(self._caller, message_id, running=True, by=self._by)
