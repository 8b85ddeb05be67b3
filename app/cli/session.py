"""Commands that ask a server: their common options, and the client that they share."""

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failures import USAGE, Failure, Place, explain
from .terminal import Terminal, jsonable

if TYPE_CHECKING:
    from ..client import AgentQ

MAX_KEY_BYTES = 16 * 1024

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of messages.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a message.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")]

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "url": (
        str | None,
        typer.Option("--url", help="The server's address. Default: AGENTQ_URL, else http://localhost:8000.")
    ),
    "api_key_file": (
        Path | None,
        typer.Option("--api-key-file", help="A file with the API key. Default: the key in AGENTQ_API_KEY."),
    ),
    "as_json": (bool, typer.Option("--json", help="Print JSON, a line for each entry; errors too.")),
    "debug": (bool, typer.Option("--debug", help="Show the trace of an error.")),
}  # fmt: skip


class Session:
    """A command's terminal and its connection to a server. `client` is made when it is first used."""

    def __init__(self, terminal: Terminal, place: Place, key_file: Path | None) -> None:
        self.terminal = terminal
        self.place = place
        self._key_file = key_file

    @functools.cached_property
    def client(self) -> "AgentQ":
        """Return the client. Raises Failure if the key cannot be read."""
        _import_httpx()
        from ..client import AgentQ

        return AgentQ(self.place.url, self._key())

    def close(self) -> None:
        """Close the connections."""
        if "client" in self.__dict__:
            self.client.close()

    def show(self, model: Any, text: str) -> None:
        """Write a reply: as JSON if asked for, else the text."""
        if self.terminal.as_json:
            self.terminal.record(jsonable(model))
        else:
            self.terminal.line(text)

    def confirm(self, question: str, *, yes: bool, arguments: Iterable[str]) -> None:
        """Ask before something is done that cannot be taken back. Raises Failure without a yes.

        `arguments` are those of the command that does it without a question.
        """
        if yes:
            return
        if not self.terminal.can_ask:
            message = f"{question} Nobody is there to ask, so nothing was done."
            fix = self.place.fix(*self.place.command.split(), *arguments, "--yes")
            raise Failure("not_confirmed", message, fix, exit_code=USAGE)
        if self.terminal.ask(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
            raise Failure("not_confirmed", "Nothing was done.")

    def _key(self) -> str | None:
        if self._key_file is None:
            return None
        try:
            with self._key_file.open("rb") as file:
                key = file.read(MAX_KEY_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"The file of --api-key-file cannot be read: {error}."
            raise Failure("key_file_unreadable", message, "agentq keys create", exit_code=USAGE) from error
        if not key:
            message = f"The file {self._key_file} has no API key."
            raise Failure("key_file_empty", message, "agentq keys create", exit_code=USAGE)
        return key


def _import_httpx() -> None:
    """Import httpx without its own command line, which brings click and rich and takes a third of the time."""
    if "httpx" in sys.modules:
        return
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # makes an import fail, for which httpx is prepared
    import httpx  # noqa: F401  only so that the client finds it

    del sys.modules["httpx._main"]


def asks_server(function: Callable[..., int | None]) -> Callable[..., int]:
    """Give a command the options of all commands that ask a server. Its first parameter is the session."""

    @functools.wraps(function)
    def command(ctx: typer.Context, **given: Any) -> int:
        url, key_file, as_json, debug = (given.pop(name) for name in _OPTIONS)
        terminal: Terminal = ctx.obj
        terminal.as_json = as_json
        session = Session(terminal, Place(ctx.command_path.partition(" ")[2], url), key_file)
        try:
            return function(session, **given) or 0
        except (BrokenPipeError, EOFError, typer.Exit, typer.TyperException):
            raise
        except Exception as error:
            if debug:
                terminal.stderr.write(traceback.format_exc())
            raise explain(error, session.place) from error
        finally:
            session.close()

    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.signature(function)
    own = [each.replace(kind=kind) for each in list(signature.parameters.values())[1:]]
    common = [
        inspect.Parameter(name, kind, annotation=Annotated[annotation, option], default=_default(annotation))
        for name, (annotation, option) in _OPTIONS.items()
    ]
    first = inspect.Parameter("ctx", kind, annotation=typer.Context)
    changed: Any = command
    changed.__signature__ = signature.replace(parameters=[first, *own, *common], return_annotation=int)
    changed.__annotations__ = {each.name: each.annotation for each in (first, *own, *common)}
    del changed.__wrapped__  # its annotations would be read in place of these
    return command


def _default(annotation: object) -> bool | None:
    return False if annotation is bool else None
