"""The command `agentq`: the server and its workers, as many of each as wanted. Settings come from the environment."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from . import __version__
from .config import Settings
from .main import migrate, run, serve, work

COMMANDS: dict[str, tuple[Callable[[Settings], None], str]] = {
    "serve": (serve, "take messages, show streams and run messages (WORKER_CONCURRENCY=0: run none)"),
    "worker": (work, "run messages only, without HTTP"),
    "migrate": (migrate, "bring the database up to date, then end"),
}


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments, with its help."""
    names = ", ".join(name.upper() for name in Settings.model_fields)
    arguments = argparse.ArgumentParser(
        prog="agentq",
        description="A durable queue for AI agents.",
        epilog=f"Settings come from the environment, or from lines NAME=value of a file .env in this folder: {names}.",
    )
    arguments.add_argument("--version", action="version", version=__version__)
    commands = arguments.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, explanation) in COMMANDS.items():
        commands.add_parser(name, help=explanation, description=f"{explanation[0].upper()}{explanation[1:]}.")
    return arguments


def main() -> None:
    """Run the command that the arguments name."""
    arguments = parser().parse_args()
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does, so that AGENTS names modules that stand there
    run(COMMANDS[arguments.command][0])


if __name__ == "__main__":
    main()
