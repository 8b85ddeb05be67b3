"""The command `agentq top`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import group
from .failures import DONE
from .session import Session, asks_server

if TYPE_CHECKING:
    from .overview import Overview

app = group()


@app.command()
@asks_server
def top(
    session: Session,
    *,
    once: Annotated[bool, typer.Option("--once", help="Print the overview once, as --json and pipes do.")] = False,
) -> int:
    """Watch the queue: its depth, what runs and how fast, workers, and problems with their cures.

    Keys: arrows choose a message, Enter shows it, c cancels it, r retries it, p pauses the queue, / filters, ? helps.
    """
    terminal = session.terminal
    if once or terminal.as_json or not (terminal.can_ask and terminal.shows_data and terminal.animates):
        _print(session, asyncio.run(_read(session)))
        return DONE
    return asyncio.run(_watch(session))


async def _read(session: Session) -> "Overview":
    from .overview import read_overview

    async with session.async_client() as client:
        return await read_overview(client)


def _print(session: Session, overview: "Overview") -> None:
    from .overview_lines import Drawing, draw
    from .terminal import WIDE, output_lost

    terminal = session.terminal
    if terminal.as_json:
        terminal.record(overview.as_json())
        return
    console = terminal.console(terminal.stdout)
    lines = draw(overview, Drawing(terminal.width if terminal.shows_data else WIDE))
    try:
        for line in lines:
            line.rstrip()
            console.print(line, no_wrap=True, crop=False)
        terminal.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_lost(error) from error


async def _watch(session: Session) -> int:
    from .top_screen import TopScreen

    async with session.async_client() as client:
        return await TopScreen(session, client).run()
