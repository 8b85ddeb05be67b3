"""Runs the command that the arguments name. Settings come from the environment and from `.env`."""

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from .. import __version__
from ..config import Settings
from ..main import run
from . import audit, database, doctor, keys, processes, usage

COMMANDS = {command.name: command for command in (*processes.COMMANDS, *database.COMMANDS)}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with its help texts."""
    names = ", ".join(name.upper() for name in Settings.model_fields)
    arguments = argparse.ArgumentParser(
        prog="agentq",
        description="A durable queue for AI agents.",
        epilog=f"Settings are environment variables, or NAME=value lines in the file .env of this folder: {names}.",
    )
    arguments.add_argument("--version", action="version", version=__version__)
    commands = arguments.add_subparsers(dest="command", required=True, metavar="command")
    for name, _, explanation in COMMANDS.values():
        commands.add_parser(name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}.")
    keys.add_parsers(commands)
    audit.add_parser(commands)
    doctor.add_parser(commands)
    usage.add_parser(commands)
    return arguments


def main() -> None:
    """Run the command that the arguments name."""
    arguments = parser().parse_args()
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: AGENTS may name modules of this folder
    if "program" in arguments:
        arguments.output = sys.stdout
        with redirect_stdout(sys.stderr):
            code = arguments.program(arguments)
        sys.exit(code)
    if "command_of" in arguments:
        arguments.output = sys.stdout
        with redirect_stdout(sys.stderr):  # only results are on standard output, no log lines
            run(arguments.command_of(arguments))
    else:
        run(COMMANDS[arguments.command].run)
