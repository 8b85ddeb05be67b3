"""The commands of `agentq` and the modules that hold them, which are imported when a command is used."""

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup
from typing_extensions import override

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Entry(NamedTuple):
    """A command. `about` is a clause without a capital letter or a full stop. A group has commands of its own."""

    module: str
    about: str
    is_group: bool = False


SECTIONS: dict[str, dict[str, Entry]] = {
    "Messages": {
        "submit": Entry("submit", "submit a message, and follow or await its answer"),
        "chat": Entry("chat", "talk to an agent, and type while it answers"),
        "follow": Entry("follow", "show the answer of a message while it is written"),
        "status": Entry("messages", "show messages by their ids"),
        "ls": Entry("messages", "list messages, newest first"),
        "cancel": Entry("messages", "cancel messages in any state"),
        "retry": Entry("messages", "queue failed messages again"),
        "resume": Entry("resume", "answer the question of an interrupted message"),
        "mcp": Entry("mcp", "serve MCP on standard input and output, for hosts that start programs"),
        "threads": Entry("threads", "list, show and delete conversations", is_group=True),
    },
    "Operation": {
        "top": Entry("top", "watch the queue, its workers and its problems"),
        "queue": Entry("queue", "show, pause and resume the queue", is_group=True),
        "workers": Entry("workers", "list, drain and resume the live workers", is_group=True),
        "dead-letters": Entry("dead_letters", "list, queue again and delete failed messages", is_group=True),
        "erase": Entry("erase", "remove all of a thread, an end user or a tenant, with a receipt", is_group=True),
        "storage": Entry("storage", "show what tenants and conversations store, and for how long", is_group=True),
        "doctor": Entry("doctor", "find faults of the queue, its database and its server, and name their cures"),
    },
    "Server": {
        "serve": Entry(
            "processes", "take messages, show streams and run messages (WORKER_CONCURRENCY=0: run none)"
        ),
        "worker": Entry("processes", "run messages only, without HTTP"),
        "migrate": Entry("database", "bring the database up to date, then end"),
        "backup": Entry("backup", "copy the queue and the agents' memory into one file, while servers go on"),
        "restore": Entry("backup", "put a backup back, while no server runs"),
        "compact": Entry("compact", "write the database anew, so that its files keep nothing of what was erased"),
        "export": Entry("transfer", "write messages, threads, keys and what agents remember as JSON lines"),
        "import": Entry("transfer", "store what was exported, on any engine, while no server runs"),
        "keys": Entry("keys", "make, list, rotate and revoke API keys, straight in the database", is_group=True),
        "tenants": Entry(
            "tenants", "show and change the limits and quotas of tenants, straight in the database", is_group=True
        ),
        "audit": Entry("audit", "print the audit log as JSON lines, straight from the database"),
        "usage": Entry("usage", "print what model calls used and cost as CSV, straight from the database"),
    },
    "Project": {
        "init": Entry("init", "make a project with an agent, its settings and a compose file"),
    },
    "Shell": {
        "completion": Entry("completion", "print the script that completes commands in a shell"),
    },
}  # fmt: skip

COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class ListsByDefault(TyperGroup):
    """A group whose command is `list` if none is named."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def group(kind: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Return a holder of commands whose help and errors are plain text."""
    return typer.Typer(
        cls=kind,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings=CONTEXT,
    )


class LazyGroup(TyperGroup):
    """The commands of `agentq`. Its help names them without importing their modules."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        holder: typer.Typer = import_module(f".{entry.module}", __package__).app
        found = typer.main.get_group(holder)
        command = found if entry.is_group else found.commands[cmd_name]
        if not command.help:
            command.help = f"{entry.about[0].upper()}{entry.about[1:]}."
        return command

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for section, entries in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, entry.about) for name, entry in entries.items()])

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands: Any = dict.fromkeys(COMMANDS)  # its names are what suggestions are made of
        return super().resolve_command(ctx, args)


def root() -> TyperGroup:
    """Return the command `agentq`."""
    app = typer.Typer(
        cls=LazyGroup,
        help="A durable queue for AI agents.",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings=CONTEXT,
        epilog=EPILOG,
    )
    app.callback()(_options)
    return typer.main.get_group(app)


EPILOG = (
    "Commands of the section Server, and doctor, read the settings of the server: environment variables, or NAME=value "
    "lines in the file .env of this folder. All others ask the server at AGENTQ_URL with the key AGENTQ_API_KEY. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 timeout, 78 a wrong setting, 130 Ctrl-C, "
    "141 the reader of the output has gone."
)


def _options(*, version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:  # also `agentq --version COMMAND`
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit
