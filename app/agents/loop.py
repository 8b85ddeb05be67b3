"""Runs the agents' event loop on a thread of its own, so that agent code cannot block the rest of the process.

Agent code that blocks this loop delays other runs of the process. HTTP, heartbeats, time limits and cancellations still
work. See docs/adr/0027.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from ..policy.failures import class_name
from .base import Agent, AgentTask
from .runs import AgentRun, Mailbox, note_task
from .stacks import place_of, stack_of_thread
from .thread_pool import AgentThreadPool

logger = logging.getLogger(__name__)

T = TypeVar("T")

SEEN_MARK = "_agent_loop_has_seen_it"
_ATTRIBUTES: Callable[[BaseException], dict[str, Any]] = BaseException.__dict__["__dict__"].__get__

LONG_BLOCK_SECONDS = 5.0
"""A worker whose agents' loop is blocked this long reports that it cannot take messages."""

CHECK_SECONDS = 0.5
"""Interval of the checks while runs exist. The loop counts as blocked if it has not answered the last check."""

LOADING_TASK = "load agent "
"""Prefix of the names of tasks that load agents. The agent's name follows it."""

CLOSE_SECONDS = 0.3
"""How long the remaining tasks may take to end when the loop is closed."""


class AgentLoop:
    """An event loop for agents. Its methods are called from another event loop.

    No run may begin once `max_abandoned` runs and threads are abandoned. A run has at most `run_threads` threads.
    """

    def __init__(
        self, *, threads: int, run_threads: int, max_abandoned: int, make_loop: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        self._make_loop = make_loop
        self._threads = AgentThreadPool(threads, run_size=run_threads, max_abandoned=max_abandoned)
        self._max_abandoned = max_abandoned
        self._running: set[AgentRun] = set()
        self._abandoned: set[AgentRun] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._ended: Future[None] = Future()
        self._watching: asyncio.Task[None] | None = None
        self._checking_since: float | None = None
        self._blocked_at: float | None = None
        self._blocking = self._blocking_agent = ""

    async def open(self) -> None:
        """Start the thread and the event loop."""
        opened: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._work, args=(opened,), name="agents", daemon=True)
        self._thread.start()
        self._use(await asyncio.wrap_future(opened))
        self._watching = asyncio.create_task(self._watch(), name="watch the agents' loop")

    def _use(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        caller = asyncio.get_running_loop()
        self._to_agents = Mailbox(caller, loop)
        self._to_caller = Mailbox(loop, caller)

    async def close(self) -> None:
        """Stop the loop and its tasks. Abandon the thread if its code does not end within CLOSE_SECONDS."""
        if self._watching is not None:
            self._watching.cancel()
        self._threads.shutdown()
        if self._loop is None or self._thread is None or self._closing:
            return
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.call(self._end_tasks)
                self._loop.call_soon_threadsafe(self._loop.stop)
                await asyncio.wrap_future(self._ended)

    def post(self, call: Callable[[], object]) -> None:
        """Call a function on the agents' loop soon."""
        self._to_agents.post(call)

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function on the agents' loop and return its result. If cancelled, cancel the coroutine."""
        assert self._loop is not None, "it is open"
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))

    # Runs

    @property
    def abandoned(self) -> int:
        """Return how many runs and operating system threads of ended messages are still running."""
        return len(self._abandoned) + self._threads.abandoned

    @property
    def exhausted(self) -> bool:
        """Return whether no run may begin because too many runs and threads are abandoned."""
        return self.abandoned >= self._max_abandoned

    @property
    def blocked(self) -> bool:
        """Return whether agent code blocks the loop."""
        return self._blocked_at is not None

    @property
    def blocked_for_long(self) -> bool:
        """Return whether agent code has blocked the loop for LONG_BLOCK_SECONDS."""
        return self._blocked_at is not None and time.monotonic() - self._blocked_at >= LONG_BLOCK_SECONDS

    @property
    def blocking(self) -> str:
        """Return which agent blocks the loop, and for how long, without secrets; an empty text if none does."""
        if self._blocked_at is None:
            return ""
        seconds = time.monotonic() - self._blocked_at
        return f"agent {self._blocking_agent!r} blocks the event loop of all agents for {seconds:.0f} s"

    @property
    def trouble(self) -> str:
        """Return a text, without secrets, that describes agent code that blocks the loop or does not stop.

        The text is empty if there is no such code.
        """
        found = [self.blocking] if self.blocked else []
        if self.abandoned:
            found.append(f"runs or threads of ended messages that do not stop: {self.abandoned}")
        return "; ".join(found)

    @property
    def obstacle(self) -> str:
        """Return why no run can begin, without secrets; empty if runs can begin."""
        if self.exhausted:
            return (
                f"{self.abandoned} runs or threads of ended messages do not stop, as many as MAX_ABANDONED allows. "
                "Restart the worker."
            )
        return f"Agent {self._blocking_agent!r} blocks the event loop of all agents." if self.blocked else ""

    def start(self, agent: Agent, name: str, task: AgentTask) -> AgentRun:
        """Start a run of the agent."""
        run = AgentRun(
            agent,
            name,
            task,
            to_agents=self._to_agents,
            to_caller=self._to_caller,
            on_stopped=self._abandoned.discard,
        )
        self._running.add(run)
        return run

    def stack_of(self, run: AgentRun) -> list[FrameType]:
        """Return the frames of a run's tasks, then of its threads, the innermost last."""
        current = self._stack() if asyncio.current_task(self._loop) in run.tasks else []
        return [*run.stack(), *current, *self._threads.stack_of(run)]

    async def end(self, run: AgentRun, *, stop_seconds: float) -> None:
        """End a run: stop it if it is not over, and abandon it if it does not stop within `stop_seconds`."""
        place = None if run.is_over else await run.stop(stop_seconds)
        self._running.discard(run)
        if place is not None:
            self._abandon(run, place)
            if not self.blocked:  # a blocked loop cannot run the call
                await run.fence_off(self.call)
        for held in self._threads.abandon(run):
            logger.warning(
                "Synchronous code of an ended run holds a thread: id=%s, agent=%s, at=%s, abandoned=%d",
                run.message_id,
                run.agent_name,
                held,
                self.abandoned,
            )

    async def read(self, run: AgentRun, call: Callable[[], T], *, seconds: float) -> T | None:
        """Return the result of a call that may run user code, such as an error's `__str__`.

        Return None if the call takes longer than `seconds`. Its thread is then abandoned.
        """
        reading = asyncio.wrap_future(self._threads.call_beside(call, run))
        await asyncio.wait([reading], timeout=seconds)
        if reading.done():
            return reading.result()
        self._threads.abandon(run)
        return None

    def _abandon(self, run: AgentRun, place: str) -> None:
        self._abandoned.add(run)
        logger.warning(
            "A run does not stop and is abandoned: id=%s, agent=%s, at=%s, abandoned=%d",
            run.message_id,
            run.agent_name,
            self._place_of(run) or place,
            self.abandoned,
        )

    def _place_of(self, run: AgentRun) -> str:
        """Return the place of a run that a blocked loop cannot stop; an empty text if the loop is free."""
        if not self.blocked:
            return ""
        return self._where() if run is self._current_run() else f"the loop, which another run blocks: {self._blocking}"

    # The watch

    async def _watch(self) -> None:
        """Check, while runs exist, that the loop still handles calls. Note what blocks it."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self._checking_since is not None:
                self._note_block(self._checking_since)
            elif self._running:
                self._checking_since = time.monotonic()
                self._to_agents.post(self._answer_check)

    def _answer_check(self) -> None:
        self._to_caller.post(self._note_turn)

    def _note_turn(self) -> None:
        self._checking_since = None
        if self._blocked_at is not None:
            seconds = time.monotonic() - self._blocked_at
            logger.warning("The event loop of the agents runs again: %s, seconds=%.1f", self._blocking, seconds)
            self._blocked_at = None

    def _note_block(self, since: float) -> None:
        if self._blocked_at is None:
            self._blocked_at = since
            run = self._current_run()
            if run is None:
                task = asyncio.current_task(self._loop)
                found = "" if task is None else task.get_name()
                self._blocking_agent = found.removeprefix(LOADING_TASK) if found.startswith(LOADING_TASK) else "unknown"
                self._blocking = f"agent={self._blocking_agent}, at={self._where()}"
            else:
                self._blocking_agent = run.agent_name
                self._blocking = f"agent={run.agent_name}, id={run.message_id}, at={self._where()}"
            logger.warning("The event loop of the agents is blocked, so nothing else runs: %s", self._blocking)

    def _current_run(self) -> AgentRun | None:
        current = asyncio.current_task(self._loop)
        return next((run for run in self._running | self._abandoned if current in run.tasks), None)

    def _where(self) -> str:
        """Return the place that the loop's thread is executing."""
        return place_of(self._stack())

    def _stack(self) -> list[FrameType]:
        return stack_of_thread(0 if self._thread is None else self._thread.ident or 0)

    # On the agents' thread

    def _work(self, opened: "Future[asyncio.AbstractEventLoop]") -> None:
        loop = self._make_loop()
        asyncio.set_event_loop(loop)
        loop.set_task_factory(note_task)
        loop.set_default_executor(self._threads)
        loop.call_soon(opened.set_result, loop)
        while not self._closing:
            try:
                loop.run_forever()
            except BaseException as error:  # noqa: BLE001  a task's SystemExit or KeyboardInterrupt ends `run_forever`
                if _is_new(error):
                    logger.warning("The code of an agent raised %s; its event loop goes on", class_name(error))
        loop.close()
        self._ended.set_result(None)

    @staticmethod
    async def _end_tasks() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await asyncio.get_running_loop().shutdown_asyncgens()


def _is_new(error: BaseException) -> bool:
    """Return whether the error is seen for the first time, and mark it as seen.

    Each task that waits for the failed task raises the same error again. A reference to the error would keep its frames
    alive, so the mark is on the error. Setting the mark runs no code of the error's class.
    """
    known = SEEN_MARK in _ATTRIBUTES(error)
    _ATTRIBUTES(error)[SEEN_MARK] = True
    return not known
