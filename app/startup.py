"""Waits at the start for engines that are away or still starting up."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from .bootstrap import check_memory, check_store
from .config import Settings
from .errors import StoreRefused, StoreUnavailable

logger = logging.getLogger(__name__)

TELL_SECONDS = 5.0
"""Time between two log lines about an engine that is waited for."""

TRY_AGAIN_SECONDS = 0.5


async def await_engines(settings: Settings) -> None:
    """Return when the engines of the queue and of the agents' memory can be used; a signal ends the process meanwhile.

    Raises StoreUnavailable when an engine did not come within STARTUP_TIMEOUT_SECONDS, and at once StoreError or
    ConfigurationError for what waiting does not mend.
    """
    deadline = time.monotonic() + settings.startup_timeout_seconds
    with _ended_by_signals():
        for check in (check_store, check_memory):
            await _await(lambda check=check: check(settings), deadline)  # type: ignore[misc]  # mypy: no type for a default


async def _await(check: Callable[[], Awaitable[None]], deadline: float) -> None:
    tell_at = 0.0
    while True:
        checking = asyncio.ensure_future(check())
        while not (await asyncio.wait([checking], timeout=TELL_SECONDS))[0]:
            logger.info("Waiting for the database to answer, or for its migration to end")
        try:
            return checking.result()
        except StoreRefused:
            raise
        except StoreUnavailable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + TELL_SECONDS
                logger.warning("Waiting for up to %.0f more seconds. %s", left, error)
            await asyncio.sleep(min(TRY_AGAIN_SECONDS, left))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the process at once on SIGTERM or SIGINT: nothing has begun that would have to be ended in order.

    Also as the first process of a container, which signals without a handler do not end, and in the lifespan of a
    server that looks at its signals only when it has started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda number, _: os._exit(128 + number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
