"""Runs on the event loop of the agents: how their pieces come over, how they are stopped, which threads they hold."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import suppress

import pytest

from app.agents import runs
from app.agents.base import Agent, AgentTask, Drain, FinalResult
from app.agents.loop import AgentLoop
from app.agents.runs import MAX_WAITING_PIECES, RUN, AgentRaised, AgentRun
from app.agents.thread_pool import AgentThreadPool
from app.models.attempts import Lease
from app.models.parts import Part
from tests.servers import DEADLINE_SECONDS, until

STOP_SECONDS = 0.5
PAUSE_SECONDS = 0.2
TASK = AgentTask(Lease("message", 1, 1, "worker"), "", "memory", (1, 1), Drain())


class Scripted(Agent):
    """Does in its run what the test wrote."""

    def __init__(self) -> None:
        self.fenced: list[AgentTask] = []
        self.cleaned = threading.Event()
        self.may_end = threading.Event()
        self.holding = threading.Event()

    async def fence_off(self, task: AgentTask) -> None:
        """Keep the task that is fenced off."""
        self.fenced.append(task)

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield the name of the current thread."""
        yield FinalResult(threading.current_thread().name)


class Many(Scripted):
    """Answers faster than the caller takes pieces."""

    written = 0

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield ten times as many pieces as may wait for the caller."""
        for self.written in range(10 * MAX_WAITING_PIECES):
            yield Part("content", str(self.written))
        yield FinalResult("")


class ClosedExit(SystemExit):
    """Refuses to have an attribute set or read."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __getattribute__(self, name: str) -> object:
        raise AttributeError(name)


class CleansUp(Scripted):
    """Needs some turns of the loop to end after a cancellation."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Wait until cancelled, then clean up in 20 turns of the loop."""
        yield Part("content", "begun")
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            self.cleaned.set()


class LosesCancels(Scripted):
    """Streams without gaps from a task of its own, and loses a cancellation that arrives together with a chunk."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield words until `may_end` is set."""
        chunks: asyncio.Queue[str] = asyncio.Queue(1)

        async def produce() -> None:
            while not self.may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait_for(chunks.put("word"), 1)

        producing = asyncio.create_task(produce())
        while not producing.done():
            yield Part("content", await chunks.get())


class Deaf(Scripted):
    """Swallows every cancellation until it may end."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Wait until `may_end` is set, and swallow every error and cancellation meanwhile."""
        yield Part("content", "begun")
        while not self.may_end.is_set():
            with suppress(BaseException):
                await asyncio.sleep(0.01)


class HoldsThread(Scripted):
    """Waits on a thread that nothing can stop."""

    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Hold a thread until `may_end` is set."""
        yield Part("content", "begun")
        await asyncio.to_thread(self._hold)

    def _hold(self) -> None:
        self.holding.set()
        self.may_end.wait(DEADLINE_SECONDS)


@pytest.fixture
async def loop() -> AsyncIterator[AgentLoop]:
    opened = AgentLoop(threads=2, run_threads=2, max_abandoned=2, make_loop=asyncio.new_event_loop)
    await opened.open()
    yield opened
    await opened.close()


async def everything(run: AgentRun) -> list[Part | FinalResult]:
    found: list[Part | FinalResult] = []
    while pieces := await run.take():
        found += pieces
    return found


async def test_a_run_is_on_the_thread_of_the_agents(loop: AgentLoop) -> None:
    run = loop.start(Scripted(), "scripted", TASK)
    assert await everything(run) == [FinalResult("agents")]
    await loop.end(run, stop_seconds=STOP_SECONDS)
    assert not loop.abandoned


async def test_all_pieces_of_a_turn_come_over_together(loop: AgentLoop) -> None:
    """With a wake-up for each piece, runs that end together were stored one by one, which cost a fifth of them."""
    taken = threading.Event()

    class Pauses(Scripted):
        async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
            yield Part("content", "begun")
            taken.wait(PAUSE_SECONDS)
            yield FinalResult("")

    run = loop.start(Pauses(), "pauses", TASK)
    pieces = await run.take()
    taken.set()
    assert pieces == [Part("content", "begun"), FinalResult("")]


async def test_an_agent_waits_for_a_caller_that_is_slower(loop: AgentLoop) -> None:
    agent = Many()
    run = loop.start(agent, "many", TASK)
    await until(lambda: agent.written >= MAX_WAITING_PIECES - 1, "it has filled the room")
    for _ in range(5):
        await loop.call(lambda: asyncio.sleep(0))
    assert agent.written == MAX_WAITING_PIECES - 1
    found = await everything(run)
    assert [piece.chunk for piece in found if isinstance(piece, Part)] == list(map(str, range(10 * MAX_WAITING_PIECES)))


async def test_what_a_run_raises_comes_behind_its_pieces(loop: AgentLoop) -> None:
    class Exits(Scripted):
        async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
            yield Part("content", "begun")
            raise SystemExit(3)

    run = loop.start(Exits(), "exits", TASK)
    assert await run.take() == [Part("content", "begun")]
    with pytest.raises(AgentRaised) as raised:
        await run.take()
    assert isinstance(raised.value.cause, SystemExit)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, ClosedExit])
async def test_what_ends_a_turn_of_the_loop_is_logged_once(
    loop: AgentLoop, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    """Each task that waits for the one that raised raises it out of the loop again."""

    async def node() -> None:
        raise kind("3")

    async def around() -> None:
        await asyncio.create_task(node())

    class Exits(Scripted):
        async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
            await asyncio.create_task(around())
            yield FinalResult("")

    for times in (1, 2):
        with pytest.raises(AgentRaised) as raised:
            await loop.start(Exits(), "exits", TASK).take()
        assert type(raised.value.cause) is kind
        assert [each for each in caplog.messages if "goes on" in each] == [
            f"The code of an agent raised {kind.__name__}; its event loop goes on"
        ] * times


async def test_one_run_with_many_calls_leaves_threads_for_the_others(loop: AgentLoop) -> None:
    threads = AgentThreadPool(3, run_size=2, max_abandoned=1)
    greedy, modest = (loop.start(CleansUp(), name, TASK) for name in ("greedy", "modest"))
    released = threading.Event()

    def call(run: AgentRun, function: Callable[[], object]) -> Future[object]:
        context = contextvars.Context()
        context.run(RUN.set, run)
        return context.run(threads.submit, function)

    try:
        held = [call(greedy, lambda: released.wait(DEADLINE_SECONDS)) for _ in range(5)]
        assert await asyncio.wrap_future(call(modest, lambda: "done")) == "done"
        assert not any(each.done() for each in held)
    finally:
        released.set()
    assert all([await asyncio.wrap_future(each) for each in held])
    threads.shutdown()


async def test_calls_that_come_together_do_not_wait_for_the_same_idle_thread() -> None:
    threads = AgentThreadPool(2, run_size=2, max_abandoned=0)
    released = threading.Event()
    try:
        await asyncio.wrap_future(threads.submit(lambda: "done"))
        await until(lambda: threads._idle == 1, "the thread is idle")
        with threads._state:  # both come before the thread awakes
            held = threads.submit(released.wait, DEADLINE_SECONDS)
            second = threads.submit(lambda: "done")
        assert await asyncio.wait_for(asyncio.wrap_future(second), DEADLINE_SECONDS / 2) == "done"
        assert not held.done()
    finally:
        released.set()
        threads.shutdown()


async def test_each_abandoned_thread_is_replaced_for_a_call_that_waits(loop: AgentLoop) -> None:
    threads = AgentThreadPool(2, run_size=2, max_abandoned=2)
    released, together = threading.Event(), threading.Barrier(2)
    run = loop.start(CleansUp(), "holds", TASK)
    context = contextvars.Context()
    context.run(RUN.set, run)
    try:
        for _ in range(2):
            context.run(threads.submit, released.wait, DEADLINE_SECONDS)
        await until(lambda: len(threads._active) == 2, "both threads are held")
        waiting = [threads.submit(together.wait, DEADLINE_SECONDS / 2) for _ in range(2)]
        threads.abandon(run)
        assert sorted([await asyncio.wrap_future(each) for each in waiting]) == [0, 1]
    finally:
        released.set()
        threads.shutdown()


async def test_a_run_that_is_stopped_may_clean_up(loop: AgentLoop) -> None:
    agent = CleansUp()
    run = loop.start(agent, "cleans up", TASK)
    await run.take()
    await loop.end(run, stop_seconds=STOP_SECONDS)
    assert agent.cleaned.is_set()
    assert all(task.done() for task in run.tasks)


async def test_a_run_that_loses_cancels_is_stopped_with_all_its_tasks(loop: AgentLoop) -> None:
    agent = LosesCancels()
    run = loop.start(agent, "loses cancels", TASK)
    await run.take()
    ending = asyncio.create_task(loop.end(run, stop_seconds=DEADLINE_SECONDS))
    await until(lambda: run.is_over, "its first task has ended")
    agent.may_end.set()
    await ending
    assert all(task.done() for task in run.tasks)
    assert not loop.abandoned


async def test_a_deaf_run_is_left_behind_and_fenced_off(loop: AgentLoop, caplog: pytest.LogCaptureFixture) -> None:
    agent = Deaf()
    run = loop.start(agent, "deaf", TASK)
    await run.take()
    await loop.end(run, stop_seconds=STOP_SECONDS)
    assert agent.fenced == [TASK]
    assert (loop.abandoned, loop.exhausted) == (1, False)
    assert "agent=deaf" in caplog.text
    assert "test_agent_loop.py" in caplog.text
    agent.may_end.set()
    await until(lambda: not loop.abandoned, "it is forgotten when it ends")


async def test_a_run_that_is_abandoned_before_the_loop_answers_has_a_place_too(
    loop: AgentLoop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agents' loop may be late on a busy machine, and does nothing wrong."""
    monkeypatch.setattr(runs, "CANCEL_AGAIN_SECONDS", -STOP_SECONDS / 2)  # the caller waits for less than the run gets
    agent = Deaf()
    run = loop.start(agent, "deaf", TASK)
    await run.take()
    await loop.end(run, stop_seconds=STOP_SECONDS)
    assert "test_agent_loop.py" in caplog.text
    agent.may_end.set()
    await until(lambda: not loop.abandoned, "it is forgotten when it ends")


async def test_threads_that_hang_are_replaced_until_the_bound(
    loop: AgentLoop, caplog: pytest.LogCaptureFixture
) -> None:
    agent = HoldsThread()
    for count in (1, 2):
        run = loop.start(agent, "holds", TASK)
        await run.take()
        await until(agent.holding.is_set, "it holds a thread")
        agent.holding.clear()
        await loop.call(lambda: asyncio.to_thread(lambda: None))  # there is a thread for others
        await loop.end(run, stop_seconds=STOP_SECONDS)
        assert loop.abandoned == count
    assert loop.exhausted
    assert caplog.text.count("holds a thread: id=message, agent=holds") == 2
    await loop.call(lambda: asyncio.to_thread(lambda: None))
    agent.may_end.set()
    await until(lambda: not loop.abandoned, "the threads come back")
    assert not loop.exhausted
