"""The threads on which synchronous code of agents runs, such as a synchronous node or tool.

A thread cannot be stopped. When a run has ended and its code still holds a thread, the thread is abandoned and another
one may take its place, up to a limit.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from app.agents.places import place_of, stack_of_thread
from app.agents.runs import RUN, AgentRun

P = ParamSpec("P")
T = TypeVar("T")


class _Call:
    """A function to be called on a thread, for the run in whose context it was handed over, if any."""

    __slots__ = ("arguments", "function", "future", "run", "thread_id")

    def __init__(self, function: Callable[[], Any], run: AgentRun | None) -> None:
        self.function = function
        self.run = run
        self.future: Future[Any] = Future()
        self.thread_id = 0


class AgentThreads(ThreadPoolExecutor):
    """An executor with `size` threads besides those that are abandoned, of which at most `max_abandoned` are replaced.

    Its threads are daemons, so that no hanging call keeps the process. It is a `ThreadPoolExecutor` in name only, since
    asyncio takes nothing else as a loop's executor.
    """

    def __init__(self, size: int, *, max_abandoned: int) -> None:
        super().__init__(1)
        self._size = size
        self._max_abandoned = max_abandoned
        self._state = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._active: set[_Call] = set()
        self._abandoned: set[_Call] = set()
        self._count = 0
        self._idle = 0
        self._closed = False

    @property
    def abandoned(self) -> int:
        """How many threads are held by code of runs that have ended."""
        return len(self._abandoned)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor.submit`."""
        call = _Call(lambda: function(*args, **kwargs), RUN.get())
        with self._state:
            if self._closed:
                raise RuntimeError("The agents' threads are closed.")
            self._waiting.append(call)
            self._admit()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  an executor's
        """Take no more calls; what hangs is not waited for."""
        with self._state:
            self._closed = True
            self._state.notify_all()

    def abandon(self, run: AgentRun) -> list[str]:
        """Note that the run has ended; returns where its calls are that still hold a thread."""
        with self._state:
            left = [call for call in self._active if call.run is run]
            self._abandoned.update(left)
            self._admit()
        return [place_of(stack_of_thread(call.thread_id)) for call in left]

    def stack_of(self, run: AgentRun) -> list[FrameType]:
        """Return the frames of the run's calls, the innermost of each last."""
        with self._state:
            calls = [call for call in self._active if call.run is run]
        return [frame for call in calls for frame in stack_of_thread(call.thread_id)]

    def _admit(self) -> None:
        """Wake a thread for a waiting call, or start one; called with the lock."""
        if self._idle:
            self._state.notify()
        elif self._waiting and self._count < self._allowed:
            self._count += 1
            threading.Thread(target=self._work, name=f"agents-{self._count}", daemon=True).start()

    @property
    def _allowed(self) -> int:
        return self._size + min(len(self._abandoned), self._max_abandoned)

    def _work(self) -> None:
        call: _Call | None = None
        while (call := self._next(call)) is not None:
            try:
                value = call.function()
            except BaseException as error:  # noqa: BLE001  told to whoever waits for the call
                call.future.set_exception(error)
            else:
                call.future.set_result(value)
                del value

    def _next(self, done: _Call | None) -> _Call | None:
        """The next call for this thread, when there is one; None when the thread is one too many."""
        with self._state:
            if done is not None:
                self._active.discard(done)
                self._abandoned.discard(done)
            while self._count <= self._allowed:
                if self._waiting:
                    call = self._waiting.popleft()
                    if call.future.set_running_or_notify_cancel():
                        call.thread_id = threading.get_ident()
                        self._active.add(call)
                        return call
                elif self._closed:
                    break
                else:
                    self._idle += 1
                    self._state.wait()
                    self._idle -= 1
            self._count -= 1
            self._admit()
            return None
