"""Drains a worker when an operator asks for it, while its process goes on."""

import asyncio
import logging
from collections.abc import Callable

from .agents.base import Drain
from .agents.loop import AgentLoop
from .models.workers import WorkerState
from .store.ports import WORKERS, Notifier

logger = logging.getLogger(__name__)

HINTS_SECONDS = 1.0
"""How long one wait for a hint takes."""

BEATS_SECONDS = 0.05
"""Minimum interval between heartbeats triggered by hints at drains, however many there are."""


async def listen_for_drains(notifier: Notifier, beat_now: Callable[[], None]) -> None:
    """Send a heartbeat after each hint; its answer says whether the worker has to drain. Never returns."""
    with notifier.subscribe(WORKERS) as drains:
        while True:
            if await drains.wait(HINTS_SECONDS):
                beat_now()
                await asyncio.sleep(BEATS_SECONDS)


class WorkerDrain:
    """The present request to a worker to stop its runs, of an operator or of the end of its process.

    `release` is called when the runs have exceeded the grace period since an operator's request.
    """

    def __init__(self, loop: AgentLoop, grace_seconds: float, release: Callable[[], None]) -> None:
        self._loop = loop
        self._grace_seconds = grace_seconds
        self._release = release
        self._timer: asyncio.TimerHandle | None = None
        self.runs = Drain()
        self.draining = False

    def state(self, *, is_idle: bool) -> WorkerState:
        """Return the state of the worker. An idle worker runs nothing and claims nothing."""
        if not self.draining:
            return WorkerState.ACTIVE
        return WorkerState.DRAINED if is_idle else WorkerState.DRAINING

    def request(self) -> None:
        """Ask the runs to stop after their present step."""
        self._loop.post(self.runs.request)

    def follow(self, draining: bool) -> bool:
        """Do what an operator asks: drain, or let new runs begin. Return whether this is a change."""
        if draining is self.draining:
            return False
        self.draining = draining
        if draining:
            logger.info("Worker draining, as an operator asked: grace=%.1fs", self._grace_seconds)
            self.request()
            self._timer = asyncio.get_running_loop().call_later(self._grace_seconds, self._release)
        else:
            logger.info("Worker claims messages again")
            self.close()
            self.runs = Drain()
        return True

    def close(self) -> None:
        """Call `release` no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
