"""Listens for the hints of other processes."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from ...errors import StoreUnavailable
from ...observability.outages import hints_outage
from .connection import Link, pack

LISTEN_AGAIN_SECONDS = 1.0
PING_SECONDS = 15.0


class Listener:
    """Publishes the hints of other processes in this one. Reconnects until it is closed."""

    def __init__(self, link: Link, channel: str, process: str, publish: Callable[..., None]) -> None:
        self._link = link
        self._channel = channel
        self._process = process
        self._publish = publish
        self._outage = hints_outage()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Subscribe and start the task. Raises what redis-py raises."""
        await self._subscribe()
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """End the task and the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._link.disconnect()

    async def _subscribe(self) -> None:
        await self._link.connect()
        await self._link.ask("SUBSCRIBE", self._channel)

    async def _listen(self) -> None:
        while True:
            try:
                if not self._link.connected:
                    await self._subscribe()
                self._outage.works("listen")
                await self._pass_on()
            except Exception as error:  # noqa: BLE001  a lost hint is only logged
                self._outage.fails("listen", "Listening for hints failed, trying again: %s", error)
                await self._link.disconnect()
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _pass_on(self) -> None:
        """Publish hints until the connection breaks, then raise. Pings find a connection that died without notice."""
        pinged = False
        while True:
            answer = await self._link.receive(within=PING_SECONDS)
            if answer is None:
                if pinged:
                    raise StoreUnavailable(f"no answer for {PING_SECONDS} seconds")
                await self._link.send([pack("PING")])
            elif answer[0] == "message":
                process, *topics = json.loads(answer[2])
                if process != self._process:
                    self._publish(*topics)
            pinged = answer is None
