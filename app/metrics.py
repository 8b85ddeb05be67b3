"""Gives the metrics of this process and of the queue: to scrapes, on a port of their own, and by OTLP."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from . import __version__
from .config import Settings
from .errors import AgentQueueError, ConfigurationError
from .observability.metrics import Joined, Metrics, exposition_of
from .observability.otel_environment import MISSING
from .observability.otlp import OtlpPush, interval_seconds, is_wanted
from .observability.queue_metrics import Program, QueueReading, queue_metrics
from .store.ports import Store

if TYPE_CHECKING:
    from prometheus_client import Metric

logger = logging.getLogger(__name__)

SAMPLE_SECONDS = 5.0
"""Seconds between two looks at figures that nobody counts, such as the slots in use, and between two flushes."""

READ_SECONDS = 5.0
"""How long the store may take to answer a scrape."""

LAST_PUSH_SECONDS = 0.5
"""How long the collector may take to answer the last push, at the end of the process."""

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class ObservedWorker(Protocol):
    """The worker of this process."""

    @property
    def slots(self) -> int:
        """Return how many messages the worker runs at a time."""

    @property
    def busy(self) -> int:
        """Return how many messages the worker runs now."""

    @property
    def silent_seconds(self) -> float:
        """Return the seconds since the last heartbeat; 0 without a worker."""


class ObservedReaders(Protocol):
    """Readers of a log in this process."""

    def open_by_kind(self) -> Mapping[str, int]:
        """Return how many readers there are of each kind."""

    def lag_events(self) -> int:
        """Return by how many events the slowest reader is behind."""


def make_metrics(settings: Settings) -> Metrics:
    """Return the counters of this process. Raises ConfigurationError for a wrong folder or interval."""
    if is_wanted():
        interval_seconds()
    folder = settings.prometheus_multiproc_dir
    if folder is None:
        return Metrics()
    prepare_shared_folder(folder)
    return Metrics(folder)


def prepare_shared_folder(folder: Path) -> None:
    """Create the folder in which the processes behind one port count. Raises ConfigurationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{FOLDER}: expected a folder to write to: {error.strerror}, got {str(folder)!r}"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{FOLDER}: expected a folder to write to, got {str(folder)!r}")


class MetricsReport:
    """Reads the queue's figures and gives all metrics."""

    def __init__(
        self,
        metrics: Metrics,
        store: Store,
        settings: Settings,
        *,
        worker: ObservedWorker,
        readers: Sequence[ObservedReaders],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._settings = settings
        self._worker = worker
        self._readers = readers
        self._tasks: list[asyncio.Task[None]] = []
        self._push: OtlpPush | None = None

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of the process and of the queue as text, and its media type for the header `Accept`."""
        queue = await self._of_queue()
        self._sample()
        return exposition_of(Joined(self._metrics.shown, queue), accept)

    def serve(self) -> None:
        """Serve the metrics of this process on METRICS_PORT, from a thread of its own. Raises OSError."""
        port = self._settings.metrics_port
        if port is None:
            return
        from prometheus_client import start_http_server

        host = self._settings.metrics_host
        try:
            start_http_server(port, host, self._metrics.shown)
        except OSError as error:
            raise OSError(error.errno, f"METRICS_HOST, METRICS_PORT: {error.strerror or error}") from error
        logger.info("Serving metrics on http://%s:%d/metrics", host, port)

    def start(self) -> None:
        """Begin to sample and, if OpenTelemetry's variables ask for it, to push."""
        self._tasks = [asyncio.create_task(self._sample_repeatedly(), name="metrics")]
        if not is_wanted():
            return
        try:
            self._push = OtlpPush(f"{socket.gethostname()}-{os.getpid()}", __version__)
        except ImportError:
            logger.warning(MISSING.format(signal="Metrics"))
            return
        logger.info("Metrics are pushed by OTLP every %g s", self._push.seconds)
        self._tasks.append(asyncio.create_task(self._push_repeatedly(self._push), name="push of metrics"))

    async def stop(self) -> None:
        """Push once more, then stop. Do nothing at a second call."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._metrics.flush()
        push, self._push = self._push, None
        if push is not None:
            await self._push_once(push, LAST_PUSH_SECONDS)
            push.close()

    async def _of_queue(self) -> "list[Metric]":
        settings = self._settings
        engine = self._store.capabilities.name
        aging = settings.priority_aging_seconds > 0
        program = Program(__version__, engine, settings.max_queue_size, aging)
        return list(queue_metrics(program, await self._read()))

    async def _read(self) -> QueueReading | None:
        """Read the figures of the queue. Return None if the store does not answer."""
        store = self._store
        try:
            async with asyncio.timeout(READ_SECONDS):
                figures, throughput, workers = await asyncio.gather(
                    store.queue_figures(), store.throughput(), store.list_workers()
                )
        except (AgentQueueError, TimeoutError):  # the metric `store_up` says so
            return None
        return QueueReading(figures, throughput, workers, store.now())

    def _sample(self) -> None:
        self._metrics.flush()
        worker = self._worker
        self._metrics.set_worker(worker.slots, worker.busy, worker.silent_seconds)
        for readers in self._readers:
            self._metrics.set_readers(readers.open_by_kind())
        self._metrics.set_reader_lag(max(readers.lag_events() for readers in self._readers))

    async def _sample_repeatedly(self) -> None:
        while True:
            self._sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def _push_repeatedly(self, push: OtlpPush) -> None:
        while True:
            await asyncio.sleep(push.seconds)
            await self._push_once(push)

    async def _push_once(self, push: OtlpPush, seconds: float | None = None) -> None:
        """Push all metrics. Wait for the collector, but at most `seconds`."""
        queue = await self._of_queue()
        self._sample()
        families = [*self._metrics.own.collect(), *queue]
        loop = asyncio.get_running_loop()
        pushed = asyncio.Event()

        def work() -> None:
            try:
                if not push.push(families):
                    logger.warning("The collector did not take the metrics; the next push repeats them")
            except Exception:  # the queue goes on without its metrics
                logger.exception("Metrics could not be pushed")
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(pushed.set)

        # The process would wait for a thread of the loop's pool at its end, for as long as the collector hangs.
        threading.Thread(target=work, name="push of metrics", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await pushed.wait()
