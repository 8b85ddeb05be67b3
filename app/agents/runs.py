"""Runs an agent on the agents' event loop, passes its pieces to the caller's loop, and can stop all its tasks.

User code may raise anything, swallow a cancellation, start tasks of its own, or never return. A run therefore includes
every task that was created in its context. See docs/adr/0027.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from types import FrameType
from typing import Any, TypeVar

from ..models.parts import Part
from .base import Agent, AgentTask, FinalResult
from .stacks import place_of, stack_of_coroutine

T = TypeVar("T")

MAX_WAITING_PIECES = 1_000
"""Maximum pieces that the caller has not taken yet. With more, the agent waits."""

CLEANUP_SECONDS = 0.25
"""How long a run may take to end after its first task was cancelled. Its `finally` blocks may await in that time.

A run that sends more pieces in that time has lost the cancellation.
"""

EAGER_CANCELS = 8
CANCEL_AGAIN_SECONDS = 0.05
"""After CLEANUP_SECONDS all tasks are cancelled in each of EAGER_CANCELS turns of the loop, then at this interval.

In Python 3.11, `asyncio.wait_for` loses a cancellation that arrives together with a chunk. A stream without gaps loses
nearly all cancellations. Cancelling every task in each turn stops them all within 3 to 7 turns.
"""

FENCE_SECONDS = 0.3
"""How long the memory may take to store the fence. A process must still be able to end in time."""

RUN: "contextvars.ContextVar[AgentRun | None]" = contextvars.ContextVar("agent_run", default=None)
"""The run that the current task belongs to; None outside runs."""


class AgentRaised(Exception):
    """The agent's code raised `cause`, which may be any BaseException."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__("The agent's code raised an error.")
        self.cause = cause


class Mailbox:
    """Sends calls from one event loop to another. All calls of one turn of the sending loop share one wake-up."""

    def __init__(self, sender: asyncio.AbstractEventLoop, receiver: asyncio.AbstractEventLoop) -> None:
        self._sender = sender
        self._receiver = receiver
        self._calls: list[Callable[[], object]] = []

    def post(self, call: Callable[[], object]) -> None:
        """Call a function on the receiving loop, after the sender's present turn. Do nothing if a loop is closed."""
        self._calls.append(call)
        if len(self._calls) == 1:
            with suppress(RuntimeError):
                self._sender.call_soon(self._send)

    def _send(self) -> None:
        calls, self._calls = self._calls, []
        with suppress(RuntimeError):
            self._receiver.call_soon_threadsafe(_call_all, calls)


def _call_all(calls: list[Callable[[], object]]) -> None:
    for call in calls:
        call()


class AgentRun:
    """One run of an agent. Methods are for the caller's event loop unless marked otherwise.

    The caller's loop calls `on_stopped` when all tasks have ended after a stop. This may be long after `stop` returned.
    """

    def __init__(
        self,
        agent: Agent,
        name: str,
        task: AgentTask,
        *,
        to_agents: Mailbox,
        to_caller: Mailbox,
        on_stopped: "Callable[[AgentRun], None]",
    ) -> None:
        self.agent_name = name
        self.message_id = task.message_id
        self.usage = task.usage
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._agent = agent
        self._task = task
        self._to_agents = to_agents
        self._to_caller = to_caller
        self._on_stopped = on_stopped
        self._pieces: deque[Part | FinalResult] = deque()
        self._notified = False
        self._over = False
        self._error: BaseException | None = None
        self._room: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[str | None] | None = None
        self._first: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        to_agents.post(self._begin)

    @property
    def is_over(self) -> bool:
        """Return whether the agent's code has returned or raised."""
        return self._over

    def stack(self) -> list[FrameType]:
        """Return the frames of the suspended tasks, oldest task first."""
        return [frame for task in self.tasks.copy() for frame in stack_of_coroutine(task.get_coro())]

    async def take(self) -> list[Part | FinalResult]:
        """Wait for pieces and return them; return an empty list once the run is over. Raises AgentRaised."""
        while True:
            self._notified = False
            over = self._over
            taken = [self._pieces.popleft() for _ in range(len(self._pieces))]
            if taken:
                if self._room is not None:
                    self._to_agents.post(self._give_room)
                return taken
            if over:
                if self._error is not None:
                    raise AgentRaised(self._error)
                return []
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def stop(self, seconds: float) -> str | None:
        """Cancel the tasks of the run until all have ended, for at most `seconds`.

        Return None if all have ended, otherwise the place in the code that still runs. A second call waits for the
        first.
        """
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
            self._to_agents.post(lambda: self._begin_stop(seconds))
        await asyncio.wait([self._stopped], timeout=seconds + CANCEL_AGAIN_SECONDS)
        return self._stopped.result() if self._stopped.done() else place_of(self.stack())  # the loop answers late

    # On the agents' event loop

    def _begin(self) -> None:
        context = contextvars.Context()
        context.run(RUN.set, self)
        if self._task.trace is not None:
            context.run(self._task.trace.attach)
        self._first = asyncio.get_running_loop().create_task(self._pump(), context=context)

    def note_end(self, task: asyncio.Task[Any]) -> None:
        """Forget a task that has ended.

        If the run was stopped, retrieve the task's error so that asyncio does not log it.
        """
        self.tasks.pop(task, None)
        if not task.cancelled() and self._stopped is not None:
            task.exception()

    async def _pump(self) -> None:
        try:
            async with aclosing(self._agent.run(self._task)) as pieces:
                async for piece in pieces:
                    self._pieces.append(piece)
                    if isinstance(piece, FinalResult):
                        break
                    if not self._notified:
                        self._notify()
                    if len(self._pieces) >= MAX_WAITING_PIECES:
                        await self._wait_for_room()
        except BaseException as error:  # noqa: BLE001  whatever user code raises ends its run only
            self._error = error
        self._over = True
        self._notify()

    def _notify(self) -> None:
        self._notified = True
        self._to_caller.post(self._wake)

    async def _wait_for_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        if len(self._pieces) >= MAX_WAITING_PIECES:  # the caller may have taken pieces before the future was set
            await self._room
        self._room = None

    def _give_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _begin_stop(self, seconds: float) -> None:
        self._stopping = asyncio.get_running_loop().create_task(self._stop_all(seconds), context=contextvars.Context())

    async def _stop_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        await self._cancel_first_task()
        turns = 0
        while alive := [task for task in self.tasks if not task.done()]:
            if time.monotonic() >= deadline:
                self._report_stopped(place_of(self.stack()))
                await asyncio.wait(alive)
                continue
            for task in alive:
                task.cancel()
            turns += 1
            await asyncio.sleep(0 if turns < EAGER_CANCELS else CANCEL_AGAIN_SECONDS)
        self._report_stopped(None)
        self._to_caller.post(lambda: self._on_stopped(self))

    async def _cancel_first_task(self) -> None:
        """Cancel the first task, then wait CLEANUP_SECONDS for the run to end, unless it sends more pieces."""
        if self._first is not None:
            self._first.cancel()
        pieces = len(self._pieces)
        end = time.monotonic() + CLEANUP_SECONDS
        pause = 0.0
        while any(not task.done() for task in self.tasks) and len(self._pieces) <= pieces and time.monotonic() < end:
            await asyncio.sleep(pause)
            pause = min(0.01, pause + 0.001)

    def _report_stopped(self, place: str | None) -> None:
        self._to_caller.post(lambda: self._note_stopped(place))

    # On the caller's loop again

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _note_stopped(self, place: str | None) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(place)

    async def fence_off(self, call: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Take from this run the right to write to the agent's memory. Ignore failures, and stop after FENCE_SECONDS.

        `call` runs a coroutine function on the agents' event loop.
        """
        with suppress(Exception):
            async with asyncio.timeout(FENCE_SECONDS):
                await call(lambda: self._agent.fence_off(self._task))


def note_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any
) -> "asyncio.Task[T]":
    """Create a task, and add it to the run in whose context it is created."""
    task: asyncio.Task[T] = asyncio.Task(work, loop=loop, **options)
    context: contextvars.Context | None = options.get("context")
    run = RUN.get() if context is None else context.get(RUN)
    if run is not None:
        run.tasks[task] = None
        task.add_done_callback(run.note_end)
    return task
