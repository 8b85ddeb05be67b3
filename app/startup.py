"""Prepares a process before its parts are built: settings, logging, and databases that can be used.

Commands on the database need no more than this. It therefore imports neither FastAPI nor LangGraph.
"""

import asyncio
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qs, unquote

from .checkpoints.factory import check_server, checkpoint_url
from .clock import Clock
from .config import Settings, load_settings, misspelt_settings, place_of, share_environment
from .errors import AgentQueueError, StoreError, StoreRefused, StoreUnavailable
from .observability.logging import Redactor, configure_logging
from .observability.otel_environment import headers
from .store.factory import make_store
from .store.ports import Store

logger = logging.getLogger(__name__)

CONFIGURATION_EXIT_CODE = 78
"""EX_CONFIG of sysexits.h: another start would fail in the same way."""

FAILED_EXIT_CODE = 1
"""Another start may work, for example if a database was away for longer than STARTUP_TIMEOUT_SECONDS."""

LOG_SECONDS = 5.0
"""Seconds between two log lines while the start waits for a database."""

TRY_AGAIN_SECONDS = 0.5

SECRET_NAME = re.compile(r"(?:KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS)$", re.IGNORECASE)
"""Names of environment variables whose values are never shown."""


def redactor_of(settings: Settings) -> Redactor:
    """Return a redactor with all secrets in the settings and in the graphs' environment."""
    ours = filter(None, (settings.openai_api_key, settings.webhook_secret))
    secrets = [secret.get_secret_value() for secret in ours]
    secrets += [] if settings.webhook_secret is None else settings.webhook_secret.get_secret_value().split()
    for url in filter(None, (settings.database_url, settings.checkpoint_url)):
        credentials, at, _ = url.partition("://")[2].rpartition("@")
        options = parse_qs(url.partition("?")[2])
        passwords = [
            credentials.partition(":")[2] if at else "",
            *options.get("password", ()),
            *options.get("sslpassword", ()),
        ]
        secrets += [each for password in filter(None, passwords) for each in (password, unquote(password))]
    environment = {**settings.project.environment, **os.environ}
    secrets += [value for name, value in environment.items() if SECRET_NAME.search(name) and len(value) >= 8]
    return Redactor([*secrets, *headers(environment)])


def start_logging(settings: Settings) -> None:
    """Set up the logging of the process."""
    configure_logging(settings.log_level, settings.log_format, settings.log_config, redactor_of(settings))


def set_up_process() -> Settings:
    """Load the settings, then set up the process's environment and logging. Raises ConfigurationError."""
    settings = load_settings()
    share_environment(settings)
    start_logging(settings)
    if guesses := misspelt_settings():
        shown = ", ".join(f"{name} (did you mean {guess}?)" for name, guess in guesses.items())
        logger.warning("The file .env has names that are not settings; only agents can read them: %s", shown)
    return settings


@asynccontextmanager
async def open_store(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Store]:
    """Open the store for a block, by default with a clock of its own.

    Raises StoreError with the name of the setting and the place of the database.
    """
    store = make_store(settings, clock=clock)
    try:
        await store.open()
    except StoreError as error:
        text = redactor_of(settings).redact(str(error)).rstrip(".")
        raise type(error)(f"DATABASE_URL: {text}, got {place_of(settings.database_url)}") from None
    try:
        yield store
    finally:
        await store.close()


async def check_store(settings: Settings) -> None:
    """Open and close the store, to report its faults before the server starts. Raises StoreError."""
    async with open_store(settings):
        pass


async def check_memory(settings: Settings) -> None:
    """Check that the server of the agents' memory can be used, unless it is the store's server.

    A file is checked later, when the agents are loaded. Raises StoreError, ConfigurationError.
    """
    url = checkpoint_url(settings)
    if settings.worker_concurrency == 0 or url == settings.database_url:
        return
    try:
        await check_server(url)
    except AgentQueueError as error:
        text = redactor_of(settings).redact(str(error)).replace("DATABASE_URL", "CHECKPOINT_URL").rstrip(".")
        named = text if text.startswith("CHECKPOINT_URL") else f"CHECKPOINT_URL: {text}"
        raise type(error)(f"{named}, got {place_of(url)}") from None


async def await_engines(settings: Settings) -> None:
    """Wait until the databases of the queue and of the agents' memory can be used. A signal ends the process meanwhile.

    Raises StoreUnavailable if a database is still unavailable after STARTUP_TIMEOUT_SECONDS. Raises StoreError or
    ConfigurationError at once if waiting cannot help.
    """
    deadline = time.monotonic() + settings.startup_timeout_seconds
    with _ended_by_signals():
        for check in (check_store, check_memory):
            await _await(lambda check=check: check(settings), deadline)  # type: ignore[misc]  # mypy: no type for a default


async def _await(check: Callable[[], Awaitable[None]], deadline: float) -> None:
    log_at = 0.0
    while True:
        checking = asyncio.ensure_future(check())
        while not (await asyncio.wait([checking], timeout=LOG_SECONDS))[0]:
            logger.info("Waiting for the database to answer, or for its migration to end")
        try:
            return checking.result()
        except StoreRefused:
            raise
        except StoreUnavailable as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if time.monotonic() >= log_at:
                log_at = time.monotonic() + LOG_SECONDS
                logger.warning("Waiting for up to %.0f more seconds. %s", left, error)
            await asyncio.sleep(min(TRY_AGAIN_SECONDS, left))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the process at once on SIGTERM or SIGINT. Nothing that needs an orderly stop has started yet.

    This also works in a container's first process, which a signal without a handler does not end. It also works in the
    lifespan of a server that handles its signals only after its start.
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


def run(command: Callable[[Settings], None]) -> None:
    """Load the settings, set up logging and run `command`. On an error, write one line and exit with an error code."""
    try:
        command(set_up_process())
    except AgentQueueError as error:
        sys.stderr.write(f"Cannot start. {error}\n")
        away = isinstance(error, StoreUnavailable) and not isinstance(error, StoreRefused)
        sys.exit(FAILED_EXIT_CODE if away else CONFIGURATION_EXIT_CODE)
    except OSError as error:
        sys.stderr.write(f"Cannot start. {error}\n")
        sys.exit(FAILED_EXIT_CODE)
