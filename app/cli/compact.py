"""The command `agentq compact`."""

from collections.abc import Mapping
from typing import Any

import typer

from ..backups.engines import copiers_of
from ..startup import set_up_process
from .commands import group
from .failures import Place
from .options import AS_JSON, DEBUG, run_to_end, with_options
from .settings_help import EPILOG
from .store_command import SettingsCommand
from .store_failures import explain
from .terminal import Terminal

app = group()


def _compact(command: SettingsCommand) -> None:
    """Write the database anew, so that its files keep nothing of what was erased.

    Servers may run, and wait meanwhile. SQLite and PostgreSQL need as much free space as the database takes.
    """
    parts = copiers_of(command.settings)
    for copier in parts.values():
        copier.compact()
    if command.terminal.as_json:
        command.terminal.record({"compacted": sorted(parts)})
    else:
        command.terminal.line("The files of the database keep nothing of deleted rows.")


def _run(ctx: typer.Context, options: Mapping[str, Any], _: Mapping[str, Any]) -> int:
    """Run the command. It blocks, so that Ctrl-C ends it at once."""
    terminal: Terminal = ctx.obj

    def acted() -> int:
        _compact(SettingsCommand(terminal, set_up_process()))
        return 0

    place = Place(ctx.command_path.partition(" ")[2])
    return run_to_end(terminal, options, acted, lambda error: explain(error, place))


app.command("compact", epilog=EPILOG)(with_options(_compact, {"as_json": AS_JSON, "debug": DEBUG}, _run))
