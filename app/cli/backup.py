"""The commands `agentq backup` and `agentq restore`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from ..backups.archive import Description
from ..backups.backing_up import back_up
from ..backups.backing_up import restore as put_back
from ..startup import set_up_process
from ..store.copies import Progress
from .commands import group
from .file_failures import explain_file
from .options import AS_JSON, DEBUG, run_to_end, with_options
from .settings_help import EPILOG
from .store_command import SettingsCommand
from .terminal import Terminal

P = ParamSpec("P")

app = group()


def _works_on_file(function: Callable[Concatenate[SettingsCommand, Path, P], None]) -> Callable[..., int]:
    """Turn a function on the settings and a file into a command. It may block, so that Ctrl-C ends it at once."""

    def run(ctx: typer.Context, options: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        terminal: Terminal = ctx.obj
        verb = ctx.command_path.partition(" ")[2]
        act: Callable[..., None] = function

        def acted() -> int:
            act(SettingsCommand(terminal, set_up_process()), **given)
            return 0

        return run_to_end(terminal, options, acted, lambda error: explain_file(error, verb, given["file"]))

    return with_options(function, {"as_json": AS_JSON, "debug": DEBUG}, run)


@app.command(epilog=EPILOG)
@_works_on_file
def backup(
    command: SettingsCommand,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.", show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
) -> None:
    """Copy the queue and the agents' memory into one file, while servers go on.

    The file has its name only when it is whole and checked. It holds all messages and hashes of keys, so keep it safe.
    """
    made = back_up(command.settings, file, force=force, progress=_progress(command.terminal, "backup"))
    _show(command.terminal, file, made, "has")


@app.command(epilog=EPILOG)
@_works_on_file
def restore(
    command: SettingsCommand,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `agentq backup`.", show_default=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a database that has messages.")] = False,
) -> None:
    """Put a backup back, while no server runs.

    Nothing is changed before the whole file was read and checked.
    """
    found = put_back(command.settings, file, force=force, progress=_progress(command.terminal, "restore"))
    _show(command.terminal, file, found, "was put back, with")


def _show(terminal: Terminal, file: Path, description: Description, done: str) -> None:
    """Write what a backup has."""
    if terminal.as_json:
        terminal.record({"file": str(file), "bytes": file.stat().st_size, **description.model_dump(mode="json")})
        return
    terminal.line(str(file))
    names = " and ".join("the agents' memory" if part.name == "memory" else "the queue" for part in description.parts)
    terminal.note(f"The backup {done} {names}, as of {description.created_at}.")


def _progress(terminal: Terminal, verb: str) -> Progress:
    """Return what shows progress: a percentage that changes in place on a screen, else nothing."""
    shown = -1

    def show(done: int, whole: int) -> None:
        nonlocal shown
        percent = 100 * done // whole if whole else 0
        if terminal.animates and percent != shown:
            shown = percent
            terminal.stderr.write(f"\r{verb}: {percent} %" + ("\r\x1b[K" if percent == 100 else ""))
            terminal.stderr.flush()

    return show
