"""Options that several commands share, and the decorator's work: to add them to a command."""

import functools
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from .failures import Failure
from .quick_imports import resume_collections
from .terminal import Terminal

Option = tuple[Any, Any]
"""The type of an option and what typer says of it. Flags are off by default, all others None."""

AS_JSON: Option = (bool, typer.Option("--json", help="Print JSON, a line for each entry; errors too."))
DEBUG: Option = (bool, typer.Option("--debug", help="Show the trace of an error."))


def with_options(
    function: Callable[..., Any], options: Mapping[str, Option], run: Callable[..., int]
) -> Callable[..., int]:
    """Return a command with the parameters of `function`, except its first one, and with these options.

    `run` is called with the context, the values of the options by name, and the other arguments by name. It returns the
    exit code.
    """

    @functools.wraps(function)
    def command(ctx: typer.Context, **given: Any) -> int:
        values = {name: given.pop(name) for name in options}
        return run(ctx, values, given)

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(function)
    own = [each.replace(kind=kind) for each in list(signature.parameters.values())[1:]]
    common = [
        inspect.Parameter(name, kind, annotation=Annotated[annotation, option], default=_default(annotation))
        for name, (annotation, option) in options.items()
    ]
    first = inspect.Parameter("ctx", kind, annotation=typer.Context)
    changed: Any = command
    changed.__signature__ = signature.replace(parameters=[first, *own, *common], return_annotation=int)
    changed.__annotations__ = {each.name: each.annotation for each in (first, *own, *common)}
    del changed.__wrapped__  # its annotations would be read in place of these
    return command


def run_to_end(
    terminal: Terminal, options: Mapping[str, Any], act: Callable[[], int], explain: Callable[[Exception], Failure]
) -> int:
    """Return the exit code of `act`. `explain` turns its errors into Failures, and --debug shows their traces."""
    terminal.as_json = options["as_json"]
    resume_collections()
    try:
        return act()
    except (BrokenPipeError, EOFError, typer.Exit, typer.TyperException):
        raise
    except Exception as error:
        if options["debug"]:
            terminal.tell_people(traceback.format_exc())
        raise explain(error) from error


def _default(annotation: object) -> bool | None:
    return False if annotation is bool else None
