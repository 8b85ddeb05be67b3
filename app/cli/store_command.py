"""Commands that work straight on the database, whether servers run on it or not."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import redirect_stdout
from typing import Any, Concatenate, ParamSpec

import typer

from ..access.management import MAX_TENANT_LENGTH
from ..config import Settings
from ..errors import ConfigurationError
from ..startup import open_store, set_up_process
from ..store.ports import Store
from ..text import on_one_line, storable
from .failures import Place
from .options import AS_JSON, DEBUG, run_to_end, with_options
from .store_failures import explain
from .terminal import Terminal

P = ParamSpec("P")


class SettingsCommand:
    """The terminal and the settings of the server that a command is given."""

    def __init__(self, terminal: Terminal, settings: Settings) -> None:
        self.terminal = terminal
        self.settings = settings


class StoreCommand(SettingsCommand):
    """The terminal, the settings and the open store that a command on the store is given."""

    def __init__(self, terminal: Terminal, settings: Settings, store: Store) -> None:
        super().__init__(terminal, settings)
        self.store = store


def works_on_store(function: Callable[Concatenate[StoreCommand, P], Awaitable[None]]) -> Callable[..., int]:
    """Turn a function on the open store into a command. Its first parameter is a StoreCommand."""

    async def act(command: SettingsCommand, given: Any) -> None:
        settings = command.settings
        if settings.database_url == "memory://":
            raise ConfigurationError(
                "DATABASE_URL: expected a database that other processes can reach, got 'memory://'. It belongs to one "
                "server alone"
            )
        async with open_store(settings) as store:
            await bound(StoreCommand(command.terminal, settings, store), **given)

    bound: Callable[..., Awaitable[None]] = function
    return _command(function, act)


def works_with_settings(function: Callable[Concatenate[SettingsCommand, P], Awaitable[None]]) -> Callable[..., int]:
    """Turn a function on the settings of the server into a command. Its first parameter is a SettingsCommand."""

    async def act(command: SettingsCommand, given: Any) -> None:
        await bound(command, **given)

    bound: Callable[..., Awaitable[None]] = function
    return _command(function, act)


def _command(
    function: Callable[..., Any], act: Callable[[SettingsCommand, Any], Coroutine[Any, Any, None]]
) -> Callable[..., int]:
    """Return a command with the options of all commands on the store. Its errors become Failures."""

    def run(ctx: typer.Context, options: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        terminal: Terminal = ctx.obj

        def acted() -> int:
            with redirect_stdout(terminal.stderr):  # only results are on standard output, no log lines
                asyncio.run(act(SettingsCommand(terminal, set_up_process()), given))
            return 0

        place = Place(ctx.command_path.partition(" ")[2])
        return run_to_end(terminal, options, acted, lambda error: explain(error, place))

    return with_options(function, {"as_json": AS_JSON, "debug": DEBUG}, run)


def tenant_name(given: str) -> str:
    """Return the name of a tenant, by the rules of all ways to make one."""
    stored = text(MAX_TENANT_LENGTH, least=1)(given)
    try:
        return on_one_line(stored)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
