"""The commands `agentq erase …`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import group
from .session import MAX_LIST, Session, Yes, asks_server
from .terminal import Column, jsonable, on_line
from .texts import stamp

if TYPE_CHECKING:
    from ..client.models import Erasure

app = group()

POLL_SECONDS = 0.25
MAX_POLL_SECONDS = 5.0

COLUMNS = (
    Column("ID"), Column("KIND"), Column("TENANT"), Column("STATE"), Column("STARTED", least=75),
    Column("REMOVED", is_long=True),
)  # fmt: skip

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
ThreadId = Annotated[str, typer.Argument(metavar="ID", help="The id of a thread.", show_default=False)]
ErasureId = Annotated[str, typer.Argument(metavar="ID", help="The id of an erasure.", show_default=False)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Show the receipt at once, while the erasure works.")]


@app.command("thread")
@asks_server
def erase_thread(session: Session, thread_id: ThreadId, *, yes: Yes = False, no_wait: NoWait = False) -> int:
    """Remove all of a conversation, and its name from records."""
    session.confirm(f"Erase the thread {thread_id} for good?", yes=yes, arguments=[thread_id])
    return _finish(session, session.client.erasures.erase_thread(thread_id), no_wait=no_wait)


@app.command("subject")
@asks_server
def erase_subject(session: Session, name: Name, *, yes: Yes = False, no_wait: NoWait = False) -> int:
    """Remove all of an end user: conversations, memory, items, usage, and their name from records."""
    session.confirm(f"Erase all of the subject {name} for good?", yes=yes, arguments=[name])
    return _finish(session, session.client.erasures.erase_subject(name), no_wait=no_wait)


@app.command("tenant")
@asks_server
def erase_tenant(session: Session, name: Name, *, yes: Yes = False, no_wait: NoWait = False) -> int:
    """Revoke the keys of a tenant, and remove all that is its."""
    session.confirm(f"Erase all of the tenant {name} for good?", yes=yes, arguments=[name])
    return _finish(session, session.client.erasures.erase_tenant(name), no_wait=no_wait)


@app.command()
@asks_server
def show(session: Session, erasure_id: ErasureId) -> int:
    """Show the receipt of an erasure."""
    _show(session, session.client.erasures.get(erasure_id))
    return 0


@app.command("list")
@asks_server
def list_erasures(
    session: Session,
    *,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIST, help="How many to show.", show_default=True)] = 20,
) -> int:
    """List erasures, newest first."""
    found = session.client.erasures.list(limit=min(limit, 1000))
    if session.terminal.as_json:
        for each in found:
            session.terminal.record(jsonable(each))
        return 0
    rows = [
        (each.id, each.kind, each.tenant, each.state, stamp(each.started_at), _removed(each)) for each in found
    ]  # fmt: skip
    session.terminal.table(COLUMNS, rows)
    return 0


def _finish(session: Session, erasure: "Erasure", *, no_wait: bool) -> int:
    """Wait for the end of an erasure unless told not to, and show its receipt."""
    pause = POLL_SECONDS
    while erasure.state == "running" and not no_wait:
        time.sleep(pause)
        pause = min(2 * pause, MAX_POLL_SECONDS)
        erasure = session.client.erasures.get(erasure.id)
    _show(session, erasure)
    return 0


def _show(session: Session, erasure: "Erasure") -> None:
    if session.terminal.as_json:
        session.terminal.record(jsonable(erasure))
        return
    ended = "" if erasure.ended_at is None else stamp(erasure.ended_at)
    session.terminal.fields(
        [("id", erasure.id), ("kind", erasure.kind), ("tenant", on_line(erasure.tenant)), ("state", erasure.state),
         ("requested by", on_line(erasure.requested_by)), ("started", stamp(erasure.started_at)), ("ended", ended),
         ("removed", _removed(erasure))]
    )  # fmt: skip


def _removed(erasure: "Erasure") -> str:
    """Return the kinds of what was removed, and how many of each."""
    return ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in erasure.counts.items()) or "nothing"
