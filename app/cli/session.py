"""Commands that ask a server: their common options, and the client that they share."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failures import USAGE, Failure, Place, explain
from .options import AS_JSON, DEBUG, Option, run_to_end, with_options
from .quick_imports import import_httpx, pause_collections, resume_collections
from .terminal import Terminal, jsonable
from .texts import reason

if TYPE_CHECKING:
    from ..client import AgentQ, AsyncAgentQ
    from ..client.core.requests import Config

MAX_KEY_BYTES = 16 * 1024

CONNECT_SECONDS = 30.0
"""How long a connection of `Session.config` may take."""

MAX_LIST = 10**9
"""The most entries that a list shows."""

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of messages.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a message.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")]

API_KEY_FILE: Option = (
    Path | None,
    typer.Option("--api-key-file", metavar="FILE", help="A file with the API key. Default: the key in AGENTQ_API_KEY."),
)

_OPTIONS: dict[str, Option] = {
    "url": (
        str | None,
        typer.Option(
            "--url", metavar="URL", help="The server's address. Default: AGENTQ_URL, else http://localhost:8000."
        )
    ),
    "api_key_file": API_KEY_FILE,
    "as_json": AS_JSON,
    "debug": DEBUG,
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
        pause_collections()
        import_httpx()
        from ..client import AgentQ

        resume_collections()
        return AgentQ(self.place.url, key_in(self._key_file))

    def async_client(self) -> "AsyncAgentQ":
        """Return a client for asyncio, which the caller closes. Raises Failure if the key cannot be read."""
        pause_collections()
        import_httpx()
        from ..client import AsyncAgentQ

        resume_collections()
        return AsyncAgentQ(self.place.url, key_in(self._key_file))

    def config(self) -> "Config":
        """Return the address and the key. Raises Failure if the key cannot be read."""
        import_httpx()
        from ..client.core.requests import config_of

        return config_of(self.place.url, key_in(self._key_file), CONNECT_SECONDS, 0, None)

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

    def confirm(self, question: str, *, yes: bool, options: Iterable[str] = (), arguments: Sequence[str] = ()) -> None:
        """Ask before something is done that cannot be taken back. Raises Failure without a yes.

        `options` and `arguments` are those of the command that does it without a question.
        """
        if yes:
            return
        if not self.terminal.can_ask:
            message = f"{question} Nobody is there to ask, so nothing was done."
            fix = self.place.fix(*self.place.command.split(), *options, "--yes", given=arguments)
            raise Failure("not_confirmed", message, fix, exit_code=USAGE)
        if self.terminal.ask(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
            raise Failure("not_confirmed", "Nothing was done.")


def key_in(file: Path | None) -> str | None:
    """Return the API key in a file, None without a file. Raises Failure."""
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            key = opened.read(MAX_KEY_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"The file {file} of --api-key-file cannot be read: {reason(error)}."
        raise Failure("key_file_unreadable", message, "agentq keys create", exit_code=USAGE) from error
    if not key:
        raise Failure("key_file_empty", f"The file {file} has no API key.", "agentq keys create", exit_code=USAGE)
    return key


def asks_server(function: Callable[..., int | None]) -> Callable[..., int]:
    """Give a command the options of all commands that ask a server. Its first parameter is the session."""

    def run(ctx: typer.Context, options: Mapping[str, Any], given: Mapping[str, Any]) -> int:
        place = Place(ctx.command_path.partition(" ")[2], options["url"])
        session = Session(ctx.obj, place, options["api_key_file"])
        try:
            return run_to_end(
                session.terminal, options, lambda: function(session, **given) or 0, lambda error: explain(error, place)
            )
        finally:
            session.close()

    return with_options(function, _OPTIONS, run)
