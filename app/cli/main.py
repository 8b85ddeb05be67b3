"""Runs the command that the arguments name, and says errors in one line."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from .failures import Failure
    from .terminal import Terminal

SERVING = {"serve", "worker"}
"""Commands that run a process of the server, in which plugins of libraries may have work to do."""

BROKEN_PIPE = 141
"""The exit code of programs that write to a pipe whose reader has gone: 128 and the number of SIGPIPE."""


def main() -> None:
    """Run the command that the arguments name."""
    arguments = sys.argv[1:]
    try:
        code = _run(arguments)
        if sys.stdout is not None:  # as it is when a shell has closed it
            sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:  # of the help, which typer writes, or of what was left to write
        from .terminal import Terminal, output_lost

        _drop_the_rest(sys.stdout)
        _tell(failure := output_lost(error), arguments, Terminal.of_process())
        code = failure.exit_code
    for stream in filter(None, (sys.stdout, sys.stderr)):
        _drop_the_rest(stream)
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    if arguments == ["--version"]:  # answered at once, without any library
        from .. import __version__

        if sys.stdout is not None:
            sys.stdout.write(f"{__version__}\n")
        return 0
    if not sys.flags.safe_path:
        with suppress(OSError):  # the folder was deleted
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: AGENTS may name modules of this folder
    if not SERVING & {*arguments}:
        from .quick_imports import pause_collections, skip_plugins

        pause_collections()
        skip_plugins()
    from .terminal import Terminal

    return execute(arguments, Terminal.of_process())


def _drop_the_rest(stream: TextIO) -> None:
    """Have Python's last flush succeed if the output cannot be written. It would end the process with a trace."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def execute(arguments: Sequence[str], terminal: "Terminal") -> int:
    """Run a command on these streams and return its exit code."""
    import typer

    from .commands import root
    from .failures import FAILED, INTERRUPTED, USAGE, Failure

    if "_AGENTQ_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # not in its list of names

        completion_init()
    try:
        if not all(_is_text(each) for each in arguments):
            raise Failure("usage", "An argument is not UTF-8.", "locale", exit_code=USAGE)
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
    except SystemExit as end:  # typer ends the process itself when the reader of the output has gone
        if isinstance(end.__context__, BrokenPipeError):
            return BROKEN_PIPE
        raise
    return done if isinstance(done, int) else 0


def _is_text(argument: str) -> bool:
    """Return whether an argument is UTF-8. Python marks bytes of other encodings with surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _refused(error: Exception, arguments: Sequence[str], terminal: "Terminal") -> int:
    """Tell of wrong usage and return the exit code."""
    from .failures import USAGE, Failure

    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        terminal.tell_people(f"{error}\n")
        return USAGE
    path = context.command_path if context is not None else "agentq"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    message = message.replace(": Value error, ", ": ")  # pydantic's words before the reason
    _tell(Failure("usage", message, f"{path} --help"), arguments, terminal)
    return USAGE


def _tell(failure: "Failure", arguments: Sequence[str], terminal: "Terminal") -> None:
    """Write one line: JSON if the arguments ask for it, else what happened and the command that helps."""
    options = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    terminal.as_json = "--json" in options  # wrong usage is found before the options are known
    terminal.tell(failure.code, failure.message, failure.fix)
