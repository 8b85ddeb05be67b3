"""Cancels runs whose readers have left."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TypeVar

from ..access.principals import Principal
from ..errors import MessageNotFound, NotCancellable
from ..models.audit import Actor
from ..services import Services
from .runs import Run

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""How long a run goes on after its only reader left, if it is to be cancelled then. A reconnect takes less."""


async def cancelled_when_left(
    items: AsyncGenerator[T], services: Services, caller: Principal, run: Run, *, by: Actor
) -> AsyncGenerator[T]:
    """Yield the items. Cancel the run if the reader leaves before their end and nobody else reads it soon after."""
    try:
        async with aclosing(items):
            async for item in items:
                yield item
    except (GeneratorExit, asyncio.CancelledError):
        await asyncio.sleep(GRACE_SECONDS)
        if not services.streams.readers_of(caller.tenant, run.message.id):
            with suppress(MessageNotFound, NotCancellable):
                await services.queue.cancel(caller, run.message.id, running=True, by=by)
        raise
