"""Commands that work straight on the database, whether servers run on it or not."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from ..bootstrap import check_store
from ..config import Settings
from ..errors import ConfigurationError, InvalidRequest
from ..errors.access import KeyNotFound, KeyRevoked
from ..store.factory import make_store
from ..store.ports import Store
from ..text import storable

Action = Callable[[argparse.Namespace, Store], Awaitable[None]]


def command_on_store(run: Action, arguments: argparse.Namespace) -> Callable[[Settings], None]:
    """Return the command that runs an action on the store. Raises AgentQueueError."""

    def command(settings: Settings) -> None:
        if settings.database_url == "memory://":
            raise ConfigurationError(
                "DATABASE_URL: expected a database that other processes can reach, got 'memory://'. It belongs to one "
                "server alone"
            )
        asyncio.run(_on_store(run, arguments, settings))

    return command


async def _on_store(run: Action, arguments: argparse.Namespace, settings: Settings) -> None:
    await check_store(settings)
    store = make_store(settings)
    await store.open()
    arguments.allow_private_webhooks = settings.webhook_allow_private
    try:
        await run(arguments, store)
    except (KeyNotFound, KeyRevoked, InvalidRequest) as error:
        sys.exit(str(error))
    finally:
        await store.close()


def text(longest: int, *, least: int = 0) -> Callable[[str], str]:
    """Return a converter of arguments that accepts texts of these lengths that the store can keep."""

    def converted(given: str) -> str:
        try:
            stored = storable(given)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not least <= len(stored) <= longest:
            raise argparse.ArgumentTypeError(f"expected {least} to {longest} characters")
        return stored

    return converted
