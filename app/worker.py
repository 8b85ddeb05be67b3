"""Claims messages and runs them, in one process; `python -m app.worker` runs it without the API."""

import asyncio
import functools
import logging
import math
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from .agent_processor import AgentProcessor
from .agents.descriptions import DescriptionPublisher
from .agents.loop import AgentLoop
from .agents.registry import MAX_LOAD_DELAY_SECONDS, AgentRegistry
from .config import Settings
from .draining import WorkerDrain, listen_for_drains
from .errors import AgentQueueError, LeaseLost
from .heartbeat import Heartbeat
from .models.attempts import Beat, Cancelled, Claim, Lease, Outcome, Released
from .models.messages import new_message_id
from .models.workers import AgentState, ServedAgent, Worker, WorkerLoad, WorkerState
from .observability.outages import Outage
from .observability.recorder import Recorder
from .observability.tracing import AttemptTrace, Tracing
from .observability.worker_load import WorkerRuns
from .store.ports import CANCELS, READY, AttemptStore, Notifier, TraceStore, WorkerStore

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FINISH_TRIES_SECONDS = 0.5
CANCELS_SECONDS = 0.05
"""Minimum interval between heartbeats triggered by cancellations, however many there are."""


class WorkerPort(AttemptStore, WorkerStore, TraceStore, Notifier, Protocol):
    """The ports of the store that a worker needs."""

    def now(self) -> datetime:
        """Return the store's time, as `AcceptStore.now` does."""


class QueueWorker:
    """Runs claimed messages in slots, with a claim loop and a heartbeat thread."""

    def __init__(
        self,
        store: WorkerPort,
        processor: AgentProcessor,
        registry: AgentRegistry,
        settings: Settings,
        *,
        loop: AgentLoop,
        outage: Outage,
        recorder: Recorder | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._recorder = recorder = recorder or Recorder()
        self._tracing = tracing or Tracing()
        self._outage = outage
        self._store = store
        self._loop = loop
        self._processor = processor
        self._registry = registry
        self._settings = settings
        self._identity = Worker(
            id=f"{socket.gethostname()}-{os.getpid()}-{new_message_id()[-12:]}",
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=settings.worker_concurrency,
            started_at=datetime.now(UTC),
            last_beat=datetime.now(UTC),
        )
        self._running: dict[Lease, asyncio.Task[None]] = {}
        self._runs = WorkerRuns()
        self._cancelled: set[Lease] = set()
        self._finishing: set[Lease] = set()
        self._cancel_hints = 0
        self._released: set[Lease] = set()
        self._is_claiming = False
        self._drain = WorkerDrain(loop, settings.shutdown_grace_seconds, self._release_runs)
        self._obstacle = ""
        self._stopping = asyncio.Event()
        self._stop_requested_at = 0.0
        self._may_claim = asyncio.Event()
        self._claim_timer: asyncio.TimerHandle | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._listening: list[asyncio.Task[None]] = []
        self._publisher = DescriptionPublisher(registry, store)
        self._heartbeat = Heartbeat(store, self._identity, settings, self, outage, recorder)

    @property
    def id(self) -> str:
        """Return the worker's id. No other worker has or had the same id."""
        return self._identity.id

    @property
    def slots(self) -> int:
        """Return how many messages this worker runs at a time."""
        return self._identity.slots

    @property
    def busy(self) -> int:
        """Return how many messages this worker runs now."""
        return len(self._running)

    @property
    def silent_seconds(self) -> float:
        """Return the seconds since the last successful heartbeat; 0 before the first one."""
        silent = self._heartbeat.silent_seconds
        return silent if math.isfinite(silent) else 0.0

    @property
    def beating(self) -> bool:
        """Return whether the worker claims messages and its last heartbeat is recent enough to hold its leases."""
        return (
            self._claiming is not None
            and not self._claiming.done()
            and self._heartbeat.silent_seconds < self._settings.self_stop_seconds
        )

    @property
    def trouble(self) -> str:
        """Return what prevents the worker from running messages, now or soon; an empty text if nothing does."""
        if not self.beating:
            return "no heartbeat gets through"
        return self._loop.trouble

    @property
    def able(self) -> bool:
        """Return whether the worker can take messages: its heartbeat works, and agents do not prevent new runs."""
        return self.beating and not self._loop.exhausted and not self._loop.blocked_for_long

    def start(self) -> None:
        """Start the heartbeats. Claim messages once no agent is being loaded any more and at least one is available.

        Claim at the latest MAX_LOAD_DELAY_SECONDS after the first agent is available. Without slots, do nothing.
        """
        if self._claiming is None and self.slots:
            self._heartbeat.start(asyncio.get_running_loop())
            self._registry.on_change(functools.partial(_in_loop, asyncio.get_running_loop(), self._on_agents))
            self._on_agents()
            drains = listen_for_drains(self._store, self._heartbeat.beat_now)
            listeners = self._listen_to_heartbeat(), self._listen_for_cancels(), drains, self._publisher.run()
            self._listening = list(map(asyncio.create_task, listeners))
            self._claiming = asyncio.create_task(self._claim_loop(), name="claim loop")

    def begin_stop(self) -> None:
        """Stop claiming, and ask the runs to stop after their present step."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._stop_requested_at = time.monotonic()
        self._store.publish(READY)
        if self._claiming is not None:
            self._drain.request()

    async def stop(self, grace_seconds: float) -> None:
        """Wait for the runs, then put back messages whose runs exceed the grace period since `begin_stop`.

        Do nothing at a second call.
        """
        self.begin_stop()
        if self._claiming is None:
            return
        grace_seconds = max(0.0, grace_seconds - (time.monotonic() - self._stop_requested_at))
        self._drain.close()
        if self._claim_timer is not None:
            self._claim_timer.cancel()
        claiming, self._claiming = self._claiming, None
        await asyncio.gather(claiming, return_exceptions=True)
        if tasks := list(self._running.values()):
            logger.info("Worker draining: messages=%d, grace=%.1fs", len(tasks), grace_seconds)
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._heartbeat.stop()
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        logger.info("Worker stopped")

    async def _listen_to_heartbeat(self) -> None:
        """Stop the runs if the heartbeat is lost. The heartbeat's own thread may hang in a call to the store."""
        while True:
            await asyncio.sleep(self._settings.beat_seconds / 4)
            if self._heartbeat.lost:
                self.on_silence()

    async def _listen_for_cancels(self) -> None:
        """Send a heartbeat after each cancel hint; its answer says which messages were cancelled."""
        with self._store.subscribe(CANCELS) as cancels:
            while True:
                if await cancels.wait(POLL_SECONDS):
                    self._cancel_hints += 1
                    if self._running:
                        self._heartbeat.beat_now()
                    await asyncio.sleep(CANCELS_SECONDS)

    async def _claim_loop(self) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        may_claim = asyncio.create_task(self._may_claim.wait())
        await asyncio.wait([stopping, may_claim], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        may_claim.cancel()
        if not self._stopping.is_set():
            logger.info("Worker started: id=%s, slots=%d", self.id, self.slots)
        with self._store.subscribe(READY) as ready:
            while not self._stopping.is_set():
                self._check_obstacle()
                free = self.slots - len(self._running)
                if free and not self._heartbeat.lost and not self._obstacle and not self._drain.draining:
                    self._is_claiming = True
                    await self._claim(free)
                    self._is_claiming = False
                await ready.wait(POLL_SECONDS)

    def _check_obstacle(self) -> None:
        """Remember what prevents new runs, and send a heartbeat at once if that has changed."""
        before, self._obstacle = self._obstacle, self._loop.obstacle
        if self._obstacle != before:
            self._heartbeat.beat_now()
            if self._loop.exhausted:
                logger.error("The worker claims no more messages until abandoned runs end: %s", self._obstacle)

    async def _claim(self, limit: int) -> None:
        """Claim up to `limit` messages and start their runs."""
        hints = self._cancel_hints
        try:
            claims = await self._store.claim(
                self.id,
                self._registry.available,
                limit,
                lease_seconds=self._settings.lease_seconds,
                versions=self._registry.versions,
            )
        except AgentQueueError as error:
            self._outage.fails("claim", "Claiming failed, trying again: %s", error)
            return
        except Exception:  # keep the loop running, since the next claim may succeed
            logger.exception("Claiming failed, trying again")
            return
        self._outage.works("claim")
        for claim in claims:
            task = asyncio.create_task(self._run(claim), name=f"message {claim.message.id}")
            self._running[claim.lease] = task
            self._runs.began(claim.lease, tenant=claim.message.tenant, agent=claim.message.agent)
            task.add_done_callback(functools.partial(self._ended, claim.lease))
        if claims and hints != self._cancel_hints:  # it may concern one of these claims, which no heartbeat has sent
            self._heartbeat.beat_now()

    def _ended(self, lease: Lease, _: asyncio.Task[None]) -> None:
        """Free the slot of a task that has ended, even if it was cancelled before its first step."""
        del self._running[lease]
        self._runs.ended(lease)
        for leases in (self._cancelled, self._finishing, self._released):
            leases.discard(lease)
        self._store.publish(READY)
        if self._drain.draining and not self._running:
            self._heartbeat.beat_now()

    async def _run(self, claim: Claim) -> None:
        """Run one message from its claim to its finish. No error of the message stops the worker."""
        with self._tracing.attempt(claim) as spans:
            await self._run_attempt(claim, spans)

    async def _run_attempt(self, claim: Claim, spans: AttemptTrace) -> None:
        logger.info("Worker processing message: id=%s", claim.message.id)
        began = time.perf_counter()
        stored: Outcome | None = None
        try:
            try:
                outcome = await self._processor.process(claim, self._drain.runs, spans.run)
            except asyncio.CancelledError:
                if claim.lease in self._cancelled:
                    outcome = Cancelled()
                elif self._stopping.is_set():
                    outcome = Released("The worker was stopped.")
                elif claim.lease in self._released:
                    outcome = Released("The worker was drained.")
                else:
                    return  # the leases may be lost, and another worker may have the message
            self._finishing.add(claim.lease)
            await self._keep_trace(claim.lease, spans.ran(outcome))
            await self._finish(claim.lease, outcome)
            spans.stored(outcome)
            stored = outcome
        except LeaseLost:
            logger.warning("Message was taken from this worker: id=%s", claim.message.id)
        except Exception:
            logger.exception("Message could not be finished, its lease will expire: id=%s", claim.message.id)
        finally:
            self._recorder.attempt_ended(claim.message.agent, stored, time.perf_counter() - began)

    async def _keep_trace(self, lease: Lease, trace: str | None) -> None:
        """Store the new trace of a message, if there is one. Without it, the next attempt links to no earlier one."""
        if trace is not None:
            with suppress(AgentQueueError):
                await self._store.keep_trace(lease.message_id, lease.fence, trace)

    async def _finish(self, lease: Lease, outcome: Outcome) -> None:
        """Store the outcome. While the store is away, retry until the lease may have run out or the worker stops."""
        deadline = time.monotonic() + self._settings.lease_seconds
        while True:
            try:
                return await self._store.finish(lease, outcome)
            except LeaseLost:
                raise
            except AgentQueueError:
                if time.monotonic() > deadline or self._stopping.is_set():
                    raise
                await asyncio.sleep(FINISH_TRIES_SECONDS)

    def agents(self) -> tuple[ServedAgent, ...]:
        """Return the states of this worker's agents. Safe to use from any thread."""
        states = self._registry.states
        if not (obstacle := self._obstacle):
            return states
        changes: dict[AgentState, dict[str, object]] = {
            AgentState.AVAILABLE: {"state": AgentState.STUCK, "error": obstacle},
            AgentState.LOADING: {"error": obstacle},
        }
        return tuple(each.model_copy(update=changes.get(each.state)) for each in states)

    def state(self) -> WorkerState:
        """Return whether this worker claims messages, or still runs some. Safe to use from any thread."""
        return self._drain.state(is_idle=not self._is_claiming and not self._running)

    def _release_runs(self) -> None:
        """Put back the messages whose runs exceed the grace period since an operator asked this worker to drain."""
        for lease, task in self._running.items():
            if lease not in self._finishing:
                self._released.add(lease)
                task.cancel()

    def _on_agents(self) -> None:
        """Report the states of the agents. Let claims begin once no agent is being loaded any more.

        Until then a run could block the event loop that loads the other agents. Claims begin at the latest
        MAX_LOAD_DELAY_SECONDS after the first agent is available.
        """
        if self._registry.available and not self._may_claim.is_set():
            if all(agent.state is not AgentState.LOADING for agent in self._registry.states):
                self._may_claim.set()
            elif self._claim_timer is None:
                self._claim_timer = asyncio.get_running_loop().call_later(MAX_LOAD_DELAY_SECONDS, self._may_claim.set)
        self._publisher.wake()
        self._heartbeat.beat_now()
        self._store.publish(READY)

    def leases(self) -> tuple[Lease, ...]:
        """Return the leases of the current runs. Safe to use from any thread."""
        return tuple(self._running.copy())

    def load(self) -> WorkerLoad:
        """Return what this worker does. Safe to use from any thread."""
        return self._runs.load(self._processor.text.tokens_per_second)

    def on_beat(self, sent: tuple[Lease, ...], beat: Beat) -> None:
        """Stop the runs whose leases are lost or whose messages were cancelled. Drain if an operator asks for it.

        `sent` has the leases that the heartbeat sent. `beat` does not include later claims.
        """
        if not self._stopping.is_set() and self._drain.follow(beat.draining):
            self._heartbeat.beat_now()
            self._store.publish(READY)
        for lease in sent:
            if lease not in self._running or lease in self._finishing:
                continue  # the finish checks the fence itself, and may have ended the lease already
            if beat.held.get(lease.message_id) != lease.fence:
                logger.warning("Lease lost, stopping the run: id=%s", lease.message_id)
                self._running[lease].cancel()
            elif lease.message_id in beat.cancelled and lease not in self._cancelled:
                logger.info("Message cancelled, stopping the run: id=%s", lease.message_id)
                self._cancelled.add(lease)
                self._running[lease].cancel()

    def on_silence(self) -> None:
        """Stop all runs after too long without a heartbeat, before another worker may take their messages."""
        for lease, task in self._running.items():
            logger.warning("No heartbeat got through, stopping the run: id=%s", lease.message_id)
            task.cancel()


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call a function on a loop, from another thread. Do nothing if the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


if __name__ == "__main__":
    from .main import work
    from .startup import run

    run(work)
