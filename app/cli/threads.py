"""The commands `agentq threads …`."""

from itertools import islice
from typing import Annotated

import typer

from .commands import group
from .messages import show_messages
from .session import MAX_LIST, Session, Yes, asks_server
from .terminal import Column, jsonable, on_line
from .texts import age, stamp

app = group()

COLUMNS = (
    Column("ID"), Column("STATUS"), Column("MESSAGES", least=75), Column("ACTIVE", least=75), Column("NAME", least=100),
    Column("LAST MESSAGE", is_long=True),
)  # fmt: skip

ThreadId = Annotated[str, typer.Argument(metavar="ID", help="The id of a thread.", show_default=False)]
Limit = Annotated[int, typer.Option(min=1, max=MAX_LIST, help="How many to show.", show_default=True)]


@app.command("list")
@asks_server
def list_threads(
    session: Session,
    *,
    status: Annotated[str | None, typer.Option(metavar="STATUS", help="Only idle, busy, interrupted or error.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="NAME", help="Only threads of this end user.")] = None,
    limit: Limit = 20,
) -> int:
    """List conversations, newest activity first."""
    threads = list(islice(session.client.threads.list(status=status, subject=subject, limit=min(limit, 100)), limit))
    if session.terminal.as_json:
        for thread in threads:
            session.terminal.record(jsonable(thread))
        return 0
    rows = [
        (each.thread_id, each.status, str(each.message_count), age(each.last_activity), each.name or "",
         each.last_message_preview or "")
        for each in threads
    ]  # fmt: skip
    session.terminal.table(COLUMNS, rows)
    return 0


@app.command()
@asks_server
def show(session: Session, thread_id: ThreadId, *, limit: Limit = 20) -> int:
    """Show a conversation and its first messages."""
    thread = session.client.threads.get(thread_id)
    messages = list(islice(session.client.threads.messages(thread_id, limit=min(limit, 100)), limit))
    if session.terminal.as_json:
        session.terminal.record({**jsonable(thread), "messages": [jsonable(each) for each in messages]})
        return 0
    session.terminal.fields(
        [("id", thread.thread_id), ("name", thread.name or ""), ("status", thread.status),
         ("messages", str(thread.message_count)), ("created", stamp(thread.created_at)),
         ("active", stamp(thread.last_activity))]
    )  # fmt: skip
    session.terminal.line("")
    show_messages(session, messages)
    return 0


@app.command()
@asks_server
def delete(session: Session, thread_id: ThreadId, *, yes: Yes = False) -> int:
    """Delete a conversation with its messages and what the agent remembers of it."""
    if not yes:
        session.client.threads.get(thread_id)  # a question about a thread that is missing would be a wrong one
    session.confirm(f"Delete the thread {thread_id} with its messages?", yes=yes, arguments=[thread_id])
    session.client.threads.delete(thread_id)
    if session.terminal.as_json:
        session.terminal.record({"thread_id": thread_id, "deleted": True})
    else:
        session.terminal.line(f"Deleted {on_line(thread_id)}")
    return 0
