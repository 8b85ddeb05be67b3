"""Sends a worker's heartbeats, which renew its leases, from an OS thread of its own."""

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from .config import Settings
from .errors import AgentQueueError
from .models.attempts import Beat, Lease
from .models.workers import ServedAgent, Worker, WorkerLoad, WorkerState
from .observability.outages import Outage
from .observability.recorder import Recorder
from .store.ports import LeaseRenewer, WorkerStore
from .store.sql.group_commit import AwaitedThread

logger = logging.getLogger(__name__)


class HeartbeatStore(WorkerStore, Protocol):
    """The part of the store that a heartbeat uses."""

    def now(self) -> datetime:
        """Return the store's time. Called from the heartbeat's thread."""


class BeatingWorker(Protocol):
    """The worker whose leases the heartbeats renew. All methods but the last are called from the heartbeat's thread."""

    def leases(self) -> tuple[Lease, ...]:
        """Return the leases of the current runs."""

    def agents(self) -> tuple[ServedAgent, ...]:
        """Return the states of the worker's agents."""

    def load(self) -> WorkerLoad:
        """Return what the worker does."""

    def state(self) -> WorkerState:
        """Return whether the worker claims messages, or still runs some."""

    def on_beat(self, sent: tuple[Lease, ...], beat: Beat) -> None:
        """Take the answer to a heartbeat that sent these leases. Called on the worker's loop."""


class Heartbeat:
    """Renews the leases on a separate OS thread and connection, so blocking agent code cannot lose them."""

    def __init__(
        self,
        store: HeartbeatStore,
        identity: Worker,
        settings: Settings,
        worker: BeatingWorker,
        outage: Outage,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder or Recorder()
        self._outage = outage
        self._store = store
        self._identity = identity
        self._settings = settings
        self._worker = worker
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: AwaitedThread | None = None
        self._began = float("inf")
        self._last_success = float("-inf")

    @property
    def silent_seconds(self) -> float:
        """Return the seconds since the last successful heartbeat, including the time while the host was suspended."""
        return _boottime() - self._last_success

    @property
    def lost(self) -> bool:
        """Return whether heartbeats, even the first, have failed for so long that the leases may expire."""
        latest = max(self._last_success, self._began)
        return _boottime() - latest > self._settings.self_stop_seconds

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread."""
        self._began = _boottime()
        thread = AwaitedThread(loop, partial(self._work, loop), name="heartbeat")
        thread.start()
        self._thread = thread

    def beat_now(self) -> None:
        """Send the next heartbeat at once."""
        self._wake.set()

    async def stop(self) -> None:
        """Remove the worker's row and end the thread."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            await self._thread.ended()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.is_set():
            try:
                with self._store.open_lease_renewer() as heartbeat:
                    self._beat_until_stopped(heartbeat, loop)
            except Exception as error:  # keep the loop running, since all runs are lost without heartbeats
                self._recorder.beat_failed()
                if isinstance(error, AgentQueueError):
                    self._outage.fails("heartbeat", "Heartbeat failed, trying again: %s", error)
                else:
                    logger.warning("Heartbeat failed, trying again: %s", error, exc_info=True)
                self._stop.wait(self._settings.beat_seconds / 4)

    def _beat_until_stopped(self, heartbeat: LeaseRenewer, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            sent = self._worker.leases()
            began = _boottime()
            ahead = (datetime.now(UTC) - self._store.now()) // timedelta(milliseconds=1)
            reported = {
                "agents": self._worker.agents(),
                "clock_ahead_ms": ahead,
                "load": self._worker.load(),
                "state": self._worker.state(),
            }
            worker = self._identity.model_copy(update=reported)
            beat = heartbeat.beat(worker, sent, lease_seconds=self._settings.lease_seconds)
            self._last_success = began
            self._recorder.beaten(_boottime() - began)
            self._outage.works("heartbeat")
            loop.call_soon_threadsafe(self._worker.on_beat, sent, beat)
            # The interval begins with the heartbeat: one that waited for the store does not delay the next.
            self._wake.wait(max(0.0, began + self._settings.beat_seconds - _boottime()))
            self._wake.clear()
            if self._stop.is_set():
                heartbeat.stop(self._identity.id)
                return


def _boottime() -> float:
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
