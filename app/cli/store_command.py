"""Commands that work straight on the database, whether servers run on it or not."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from ..bootstrap import check_store
from ..config import Settings
from ..errors import ConfigurationError, InvalidRequest
from ..errors.access import KeyNotFound, KeyRevoked
from ..main import run
from ..store.factory import make_store
from ..store.ports import Store
from ..text import storable
from .failures import Failure
from .terminal import Terminal

P = ParamSpec("P")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class StoreCommand:
    """The terminal, the open store and the settings that a command on the store is given."""

    def __init__(self, terminal: Terminal, store: Store, settings: Settings) -> None:
        self.terminal = terminal
        self.store = store
        self.settings = settings


def works_on_store(function: Callable[Concatenate[StoreCommand, P], Awaitable[None]]) -> Callable[..., None]:
    """Turn a function on the open store into a command. Its first parameter is a StoreCommand."""

    @functools.wraps(function)
    def command(ctx: typer.Context, *args: P.args, **given: P.kwargs) -> None:
        terminal: Terminal = ctx.obj

        async def action(store: Store, settings: Settings) -> None:
            await function(StoreCommand(terminal, store, settings), *args, **given)

        with redirect_stdout(terminal.stderr):  # only results are on standard output, no log lines
            run(lambda settings: _with_store(action, settings))

    signature = inspect.signature(function)
    kind = inspect.Parameter.KEYWORD_ONLY
    first = inspect.Parameter("ctx", kind, annotation=typer.Context)
    own = [each.replace(kind=kind) for each in list(signature.parameters.values())[1:]]
    changed: Any = command
    changed.__signature__ = signature.replace(parameters=[first, *own])
    changed.__annotations__ = {each.name: each.annotation for each in (first, *own)}
    del changed.__wrapped__  # its annotations would be read in place of these
    return command


def _with_store(action: Callable[[Store, Settings], Awaitable[None]], settings: Settings) -> None:
    if settings.database_url == "memory://":
        raise ConfigurationError(
            "DATABASE_URL: expected a database that other processes can reach, got 'memory://'. It belongs to one "
            "server alone"
        )
    asyncio.run(_on_store(action, settings))


async def _on_store(action: Callable[[Store, Settings], Awaitable[None]], settings: Settings) -> None:
    await check_store(settings)
    store = make_store(settings)
    await store.open()
    try:
        await action(store, settings)
    except (KeyNotFound, KeyRevoked, InvalidRequest) as error:
        raise Failure(error.code, str(error)) from error
    finally:
        await store.close()


def text(longest: int, *, least: int = 0) -> Callable[[str], str]:
    """Return a converter of arguments that accepts texts of these lengths that the store can keep."""

    def converted(given: str) -> str:
        try:
            stored = storable(given)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if not least <= len(stored) <= longest:
            raise typer.BadParameter(f"expected {least} to {longest} characters")
        return stored

    return converted
