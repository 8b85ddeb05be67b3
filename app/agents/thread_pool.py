"""Runs synchronous agent code, such as a synchronous node or tool, on threads.

A thread cannot be stopped. If code of an ended run still holds a thread, the thread is abandoned. Up to a limit, new
threads replace abandoned ones.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from .runs import RUN, AgentRun
from .stacks import place_of, stack_of_thread

P = ParamSpec("P")
T = TypeVar("T")


class _Call:
    """A function to call on a thread. `run` is the run that submitted it; None outside runs."""

    __slots__ = ("arguments", "function", "future", "run", "thread_id")

    def __init__(self, function: Callable[[], Any], run: AgentRun | None) -> None:
        self.function = function
        self.run = run
        self.future: Future[Any] = Future()
        self.thread_id = 0


class AgentThreadPool(ThreadPoolExecutor):
    """An executor with `size` threads. Up to `max_abandoned` more threads replace abandoned ones.

    A run has at most `run_size` threads at a time, to leave threads for other runs. The threads are daemons, so a
    hanging call does not keep the process alive. The base class is only there because asyncio requires it of a loop's
    executor.
    """

    def __init__(self, size: int, *, run_size: int, max_abandoned: int) -> None:
        super().__init__(1)
        self._size = size
        self._run_size = run_size
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
        """Return how many threads are held by code of ended runs."""
        return len(self._abandoned)

    @override
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        call = _Call(lambda: function(*args, **kwargs), RUN.get())
        with self._state:
            if self._closed:
                raise RuntimeError("The agents' threads are closed.")
            self._waiting.append(call)
            self._admit()
        return call.future

    def call_beside(self, function: Callable[[], T], run: AgentRun) -> Future[T]:
        """Call a function for a run on a new thread outside the pool's limits."""
        call = _Call(function, run)

        def work() -> None:
            call.thread_id = threading.get_ident()
            _finish(call)
            with self._state:
                self._forget(call)

        with self._state:
            self._active.add(call)
        threading.Thread(target=work, name="agents-beside", daemon=True).start()
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002  an executor's
        """Accept no more calls. Do not wait for running calls."""
        with self._state:
            self._closed = True
            self._idle = 0
            self._state.notify_all()

    def abandon(self, run: AgentRun) -> list[str]:
        """Abandon the threads that an ended run still holds. Return the places that they are executing."""
        with self._state:
            left = [call for call in self._active if call.run is run]
            self._abandoned.update(left)
            for _ in left:
                self._admit()
        return [place_of(stack_of_thread(call.thread_id)) for call in left]

    def stack_of(self, run: AgentRun) -> list[FrameType]:
        """Return the frames of the run's calls, the innermost of each call last."""
        with self._state:
            calls = [call for call in self._active if call.run is run]
        return [frame for call in calls for frame in stack_of_thread(call.thread_id)]

    def _admit(self) -> None:
        """Wake or start a thread for a waiting call. The caller holds the lock.

        A thread is no longer idle from here on, and not from when it awakes: the next call must not count on it too.
        """
        if self._idle:
            self._idle -= 1
            self._state.notify()
        elif self._count < self._allowed and self._next_waiting() is not None:
            self._count += 1
            threading.Thread(target=self._work, name=f"agents-{self._count}", daemon=True).start()

    def _next_waiting(self) -> int | None:
        """Return the index of the next call that may run; None if every waiting call's run is at its limit."""
        held: Counter[AgentRun | None] = Counter(call.run for call in self._active if call.run is not None)
        return next((at for at, call in enumerate(self._waiting) if held[call.run] < self._run_size), None)

    @property
    def _allowed(self) -> int:
        return self._size + min(len(self._abandoned), self._max_abandoned)

    def _work(self) -> None:
        call: _Call | None = None
        while (call := self._next(call)) is not None:
            _finish(call)

    def _forget(self, call: _Call) -> None:
        self._active.discard(call)
        self._abandoned.discard(call)

    def _next(self, done: _Call | None) -> _Call | None:
        """Wait for this thread's next call and return it; return None if the thread must end.

        `done` is the call that the thread has just finished; None for a new thread.
        """
        with self._state:
            if done is not None:
                self._forget(done)
            while self._count <= self._allowed:
                if (place := self._next_waiting()) is not None:
                    call = self._waiting[place]
                    del self._waiting[place]
                    if call.future.set_running_or_notify_cancel():
                        call.thread_id = threading.get_ident()
                        self._active.add(call)
                        return call
                elif self._closed:
                    break
                else:
                    self._idle += 1
                    self._state.wait()
            self._count -= 1
            self._admit()
            return None


def _finish(call: _Call) -> None:
    try:
        value = call.function()
    except BaseException as error:  # noqa: BLE001  the call's waiter gets it
        call.future.set_exception(_carried(error))
    else:
        call.future.set_result(value)


def _carried(error: BaseException) -> BaseException:
    """Return the error, or a RuntimeError caused by it if asyncio cannot pass the error on.

    Without the RuntimeError, the call's waiter would wait for ever.
    """
    try:
        carries = not isinstance(
            error, type | StopIteration
        )  # the same check as asyncio's; a foreign class may raise in it
    except BaseException:  # noqa: BLE001  a class's own `__class__` may raise anything
        carries = False
    if carries:
        return error
    carrier = RuntimeError("the function raised an error that asyncio cannot pass on")
    carrier.__cause__ = error
    return carrier
