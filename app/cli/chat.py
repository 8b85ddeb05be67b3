"""The command `agentq chat`."""

import asyncio
from typing import Annotated, Any

import typer

from .commands import group
from .failures import DONE, INTERRUPTED
from .session import Session, asks_server

app = group()


@app.command()
@asks_server
def chat(
    session: Session,
    *,
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="The conversation. Default: a new one.", show_default=False)
    ] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: that of the conversation, else the server's default.")
    ] = None,
) -> int:
    """Talk to an agent. Type while it answers; what you type waits behind.

    Ctrl-C stops the answer, and a second one leaves. In a pipe, each line is a message, and answers are raw text.
    """
    terminal = session.terminal
    if not (terminal.can_ask and terminal.shows_data and terminal.animates):
        return _chat_by_lines(session, thread, agent)
    return asyncio.run(_chat_on_screen(session, thread, agent))


async def _chat_on_screen(session: Session, thread: str | None, agent: str | None) -> int:
    from .chat_screen import ChatScreen

    async with session.async_client() as client:
        return await ChatScreen(session, client, thread_id=thread, agent=agent).run()


def _chat_by_lines(session: Session, thread: str | None, agent: str | None) -> int:
    """Send a line, show its answer, and read the next line. The first failure ends it."""
    from .conversation import new_thread_id
    from .follow import follow_message

    options: dict[str, Any] = {"thread_id": thread or new_thread_id()}
    if agent is not None:
        options["agent"] = agent
    way_back = f"Come back: {session.place.fix('chat', '--thread', options['thread_id'])}"
    try:
        while line := _read(session):
            if not line.strip():
                continue
            accepted = session.client.submit(line.rstrip("\r\n"), **options)
            if follow_message(session, accepted.message_id) != DONE:
                return INTERRUPTED
    finally:
        if session.terminal.can_ask:
            session.terminal.note(way_back)
    return DONE


def _read(session: Session) -> str:
    """Return the next line with its end, empty at the end of the input."""
    if session.terminal.can_ask:
        session.terminal.stderr.write("> ")
        session.terminal.stderr.flush()
    return session.terminal.stdin.readline()
