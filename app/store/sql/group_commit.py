"""Group commit: one thread owns one connection and runs many callers' operations in one transaction.

While the thread writes a batch, the next batch gathers. There is no timer, so a lone caller never waits. The operations
of one turn of the event loop go to the thread together, and their results come back together. Waking a thread costs
more than storing a row (reference figures: 1,200 commits/s one by one, 12,000 rows/s in batches of 64 callers).
"""

import asyncio
import logging
import queue
import threading
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeVar

from typing_extensions import override

from ...errors import StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")
MAX_BATCH = 256
MAX_BATCH_SIZE = 1024 * 1024
"""Maximum number of characters of long texts in a batch of several operations, so that no commit takes long."""


class Operation(NamedTuple):
    """The work of one caller. `durable` means that the caller waits until the commit is on the disk.

    `size` is the number of characters of long texts that the work writes, as far as the caller knows.
    """

    work: Any
    durable: bool
    future: asyncio.Future[Any]
    size: int = 0


_size_of = attrgetter("size")


class Result(NamedTuple):
    """The value or the error of an operation."""

    future: asyncio.Future[Any]
    value: Any
    error: BaseException | None


class BatchRunner(Protocol):
    """Opens a connection in a group commit thread and runs batches on it."""

    def open(self) -> None:
        """Connect. Called first, in the thread."""

    def run(self, batch: list[Operation]) -> list[Result]:
        """Run all operations of a batch. Return one result per operation, in order. Never raises."""

    def end(self) -> None:
        """Do what is left of the batch, once its callers have been told. Never raises."""

    def close(self) -> None:
        """Disconnect. Called last, in the thread."""


class AwaitedThread(threading.Thread):
    """A daemon thread whose end an event loop can wait for.

    No other thread has to join it. Hanging agents may occupy all pooled threads, and a new one takes a millisecond.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None], *, name: str) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._loop = loop
        self._done = asyncio.Event()

    @override
    def run(self) -> None:
        try:
            super().run()
        finally:
            with suppress(RuntimeError):  # the event loop is closed and waits for nothing
                self._loop.call_soon_threadsafe(self._done.set)

    async def ended(self) -> None:
        """Wait for the end of the thread, which was started. Called in its event loop."""
        await self._done.wait()
        self.join()


class GroupCommitThread:
    """A thread that runs the operations of many callers in batches. Opened and used from one event loop."""

    def __init__(self, name: str, runner: BatchRunner) -> None:
        self._name = name
        self._runner = runner
        self._inbox: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._gathering: list[Operation] = []
        self._left: list[Operation] = []
        self._thread: AwaitedThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Return whether the thread accepts work."""
        return self._thread is not None and not self._closed

    async def open(self) -> None:
        """Start the thread and connect. Raises what the runner's `open` raises."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        thread = AwaitedThread(self._loop, partial(self._work, self._loop, opened), name=self._name)
        thread.start()
        self._thread = thread
        await opened

    async def close(self) -> None:
        """Finish the work that was handed over, then end the thread. Later calls of `run` raise StoreUnavailable."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None or self._loop is None:
            return
        self._hand_over()
        self._inbox.put(None)
        await self._thread.ended()

    def run(self, work: Callable[[], T], *, durable: bool = True, size: int = 0) -> asyncio.Future[T]:
        """Let the thread call `work` inside a transaction. The returned future gets its result or its exception.

        `durable` and `size` are as in `Operation`. Raises StoreUnavailable if the thread is not open.
        """
        return self.submit(work, durable=durable, size=size)

    def submit(self, work: object, *, durable: bool = True, size: int = 0) -> asyncio.Future[Any]:
        """Give `work`, any object that the runner understands, to the runner. Return a future, as `run` does.

        `durable` and `size` are as in `Operation`. Raises StoreUnavailable if the thread is not open.
        """
        if self._closed or self._loop is None:
            raise StoreUnavailable("The store is closed.")
        future: asyncio.Future[Any] = self._loop.create_future()
        if not self._gathering:
            self._loop.call_soon(self._hand_over)
        self._gathering.append(Operation(work, durable, future, size))
        return future

    def _hand_over(self) -> None:
        if self._gathering:
            self._inbox.put(self._gathering)
            self._gathering = []

    def _work(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            self._runner.open()
        except BaseException as error:  # noqa: BLE001  `open` raises it
            self._runner.close()
            loop.call_soon_threadsafe(opened.set_exception, error)
            return
        loop.call_soon_threadsafe(opened.set_result, None)
        try:
            while (batch := self._gather()) is not None:
                results = self._runner.run(batch)
                try:
                    loop.call_soon_threadsafe(_deliver, results)
                except RuntimeError:
                    logger.warning("%s: the event loop ended before %d results", self._name, len(results))
                self._runner.end()
        finally:
            self._runner.close()

    def _gather(self) -> list[Operation] | None:
        """Return the next batch, which callers handed over while the last batch ran. Return None to end the thread."""
        batch: list[Operation] | None
        batch, self._left = self._left or self._inbox.get(), []
        if batch is None:
            return None
        while len(batch) < MAX_BATCH:
            try:
                more = self._inbox.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._inbox.put(None)
                break
            batch += more
        if len(batch) == 1 or sum(map(_size_of, batch)) <= MAX_BATCH_SIZE:
            return batch
        sizes = list(accumulate(map(_size_of, batch)))
        end = max(1, bisect_right(sizes, MAX_BATCH_SIZE))
        self._left = batch[end:]
        return batch[:end]


def _deliver(results: list[Result]) -> None:
    for future, value, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
