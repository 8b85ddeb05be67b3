"""Runs the command that the arguments name, and says errors in one line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .failures import Failure
    from .terminal import Terminal

BROKEN_PIPE = 141
"""The exit code of programs that write to a pipe whose reader has gone: 128 and the number of SIGPIPE."""


def main() -> None:
    """Run the command that the arguments name."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:  # answered at once, without any library
        from .. import __version__

        if sys.stdout is not None:  # as it is when a shell has closed it
            sys.stdout.write(f"{__version__}\n")
        return
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: AGENTS may name modules of this folder
    from .terminal import Terminal

    try:
        code = execute(arguments, Terminal.of_process())
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        code = BROKEN_PIPE
    sys.exit(code)


def execute(arguments: Sequence[str], terminal: "Terminal") -> int:
    """Run a command on these streams and return its exit code."""
    import typer

    from .commands import root
    from .failures import FAILED, INTERRUPTED, Failure

    if "_AGENTQ_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # not in its list of names

        completion_init()
    try:
        done = root().main(list(arguments), prog_name="agentq", standalone_mode=False, obj=terminal)
    except Failure as failure:
        _tell(failure, arguments, terminal)
        return failure.exit_code
    except typer.TyperException as error:
        return _refused(error, arguments, terminal)
    except (typer.Abort, EOFError):
        _tell(Failure("no_input", "The input has ended before an answer."), arguments, terminal)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return done if isinstance(done, int) else 0


def _refused(error: Exception, arguments: Sequence[str], terminal: "Terminal") -> int:
    """Tell of wrong usage and return the exit code."""
    from .failures import USAGE, Failure

    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        terminal.stderr.write(f"{error}\n")
        return USAGE
    path = context.command_path if context is not None else "agentq"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    _tell(Failure("usage", message, f"{path} --help"), arguments, terminal)
    return USAGE


def _tell(failure: "Failure", arguments: Sequence[str], terminal: "Terminal") -> None:
    """Write one line: JSON if the arguments ask for it, else what happened and the command that helps."""
    options = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    terminal.as_json = "--json" in options  # wrong usage is found before the options are known
    terminal.tell(failure.code, failure.message, failure.fix)
