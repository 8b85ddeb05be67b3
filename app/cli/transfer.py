"""The commands `agentq export` and `agentq import`."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..backups.backing_up import new_file
from ..backups.engines import copiers_of
from ..backups.exporting import Chosen, head, records
from ..backups.importing import check_export, read_records, store_records
from ..backups.memories import MemoryToWrite, memory_to_read
from ..backups.records import End
from ..backups.replaying import ReplayClock
from ..errors.backups import TargetNotEmpty
from ..models.messages import MessageFilter, MessageState, Priority
from ..models.visibility import Visibility
from ..startup import open_store
from .commands import group
from .file_failures import explained
from .filters import OfAgent, OfErrorCode, OfMetadata, OfPriority, OfState, OfSubject, OfThread
from .settings_help import EPILOG
from .store_command import SettingsCommand, StoreCommand, works_on_store, works_with_settings
from .terminal import Terminal

app = group()

STANDARD = Path("-")
"""Names standard input or standard output."""

TELL_EACH = 500
"""Records between two changes of the progress on a screen."""

TENANT = typer.Option(metavar="NAME", help="Only of this tenant. May be given several times.")


@app.command("export", epilog=EPILOG)
@works_on_store
async def export(
    command: StoreCommand,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file, - for standard output.")] = STANDARD,
    *,
    tenant: Annotated[list[str] | None, TENANT] = None,
    state: OfState = None,
    thread: OfThread = None,
    agent: OfAgent = None,
    priority: OfPriority = None,
    error_code: OfErrorCode = None,
    subject: OfSubject = None,
    metadata: OfMetadata = None,
    memory: Annotated[
        bool | None,
        typer.Option(
            "--memory/--no-memory",
            help="With or without what agents remember. Default: with it, unless messages are chosen.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
) -> None:
    """Write messages, threads, items, keys and the agents' memory as JSON lines, straight from the database.

    Without --tenant: of the default tenant and of all that have API keys. Keys, items and the memory are left out if
    any other option chooses messages; --memory takes the memory of their threads along.
    """
    chosen = Chosen(
        tuple(tenant or ()),
        MessageFilter(
            frozenset({MessageState(state)}) if state else None, thread, agent,
            Priority(priority) if priority else None, error_code,
            metadata=dict(metadata) if metadata else None, visible=Visibility(subject),
        ),
    )  # fmt: skip
    count = 0
    with explained("export", file), _output(command, file, force=force) as output:
        output.write(head().line())
        async with AsyncExitStack() as stack:
            remembered = None
            if chosen.is_all if memory is None else memory:
                remembered = await stack.enter_async_context(memory_to_read(command.settings, command.store))
            async for record in records(command.store, chosen, remembered):
                output.write(record.line())
                count += 1
                _tell(command.terminal, count)
        output.write(End(records=count).line())
    if file == STANDARD:
        command.terminal.note(f"{count} records.")
    elif command.terminal.as_json:
        command.terminal.record({"file": str(file), "records": count})
    else:
        command.terminal.line(str(file))
        command.terminal.note(f"{count} records.")


@app.command("import", epilog=EPILOG)
@works_with_settings
async def import_(
    command: SettingsCommand,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `agentq export`, - for standard input.")],
) -> None:
    """Store what was exported, with its history, while no server runs.

    What is there already is left as it is, so an import that was cut off can be run again.
    """
    clock = ReplayClock()
    with explained("import", file), _input(command.terminal, file) as lines:
        for name, copier in copiers_of(command.settings).items():
            if (target := copier.look()).damage is not None:
                raise TargetNotEmpty(f"{'CHECKPOINT_URL' if name == 'memory' else 'DATABASE_URL'}: {target.damage}")
        async with open_store(command.settings, clock=clock) as store, AsyncExitStack() as stack:
            memory = MemoryToWrite(command.settings, store, stack)
            told = partial(_tell, command.terminal)
            done = await store_records(read_records(lines), store, clock, told, memory)
    if command.terminal.as_json:
        command.terminal.record({"records": done.records, "added": done.added})
    else:
        command.terminal.line(f"{done.added} of {done.records} records were new.")


@contextmanager
def _output(command: StoreCommand, file: Path, *, force: bool) -> Iterator[Any]:
    """Open what is written: standard output, or a new file that has its name when it is whole."""
    if file == STANDARD:
        yield command.terminal.stdout
        return
    with (
        new_file(file, copiers_of(command.settings), force=force) as whole,
        whole.open("w", encoding="utf-8", newline="\n") as output,
    ):
        yield output
        output.flush()
        os.fsync(output.fileno())


@contextmanager
def _input(terminal: Terminal, file: Path) -> Iterator[Iterable[bytes]]:
    """Open what is read. A file is read to its end first, so that nothing is stored of one that is cut off."""
    if file == STANDARD:
        yield (line.encode() for line in terminal.stdin)
        return
    with file.open("rb") as content:
        check_export(content)
        yield content


def _tell(terminal: Terminal, count: int) -> None:
    if terminal.animates and count % TELL_EACH == 0:
        terminal.stderr.write(f"\r{count:,} records ")
        terminal.stderr.flush()
