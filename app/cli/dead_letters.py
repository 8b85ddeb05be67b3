"""The commands `agentq dead-letters …`."""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated

import typer

from .commands import group
from .failures import USAGE, Failure
from .session import MAX_LIST, Session, Yes, asks_server
from .terminal import Column, jsonable
from .texts import age

app = group()

LETTERS = (
    Column("ID"), Column("CODE", least=75), Column("FAILED", least=90), Column("AGENT", least=120),
    Column("ERROR", is_long=True),
)  # fmt: skip
GROUPS = (
    Column("FINGERPRINT"), Column("COUNT"), Column("CODE"), Column("LAST", least=80), Column("ERROR", is_long=True),
)  # fmt: skip

SomeIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of messages.", show_default=False)]
ErrorCode = Annotated[str | None, typer.Option(metavar="CODE", help="Those that failed with this code.")]
Fingerprint = Annotated[str | None, typer.Option(metavar="TEXT", help="Those of this kind of failure.")]
Agent = Annotated[str | None, typer.Option(metavar="NAME", help="Those of this agent.")]
ThreadId = Annotated[str | None, typer.Option("--thread", metavar="ID", help="Those of this conversation.")]


@app.command("list")
@asks_server
def list_letters(
    session: Session,
    *,
    error_code: ErrorCode = None,
    fingerprint: Fingerprint = None,
    agent: Agent = None,
    thread_id: ThreadId = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIST, help="How many to show.", show_default=True)] = 20,
) -> int:
    """List failed messages, newest first."""
    chosen = _filter(error_code, fingerprint, agent, thread_id)
    letters = list(islice(session.client.dead_letters.list(limit=min(limit, 100), **chosen), limit))
    if session.terminal.as_json:
        for letter in letters:
            session.terminal.record(jsonable(letter))
        return 0
    rows = [
        (each.message_id, each.error_code or "", age(each.failed_at), each.agent, each.error or each.reason)
        for each in letters
    ]
    session.terminal.table(LETTERS, rows)
    return 0


@app.command()
@asks_server
def groups(session: Session) -> int:
    """List kinds of failures with the number of their messages."""
    found = session.client.dead_letters.groups()
    if session.terminal.as_json:
        for each in found:
            session.terminal.record(jsonable(each))
        return 0
    rows = [
        (each.fingerprint, str(each.count), each.error_code, age(each.last_failed_at), each.error) for each in found
    ]
    session.terminal.table(GROUPS, rows)
    return 0


@app.command()
@asks_server
def requeue(
    session: Session,
    message_ids: SomeIds = None,
    *,
    error_code: ErrorCode = None,
    fingerprint: Fingerprint = None,
    agent: Agent = None,
    thread_id: ThreadId = None,
    yes: Yes = False,
) -> int:
    """Queue failed messages again, by their ids or by a filter."""
    chosen = _filter(error_code, fingerprint, agent, thread_id)
    count = _confirmed(session, message_ids, chosen, "Queue {} again?", yes=yes)
    if message_ids:
        done = session.client.dead_letters.requeue(message_ids)
    else:
        done = session.client.dead_letters.requeue(filter=chosen, expected_count=count)
    session.show(done, f"Queued {len(done.requeued)} again")
    return 0


@app.command()
@asks_server
def purge(
    session: Session,
    message_ids: SomeIds = None,
    *,
    error_code: ErrorCode = None,
    fingerprint: Fingerprint = None,
    agent: Agent = None,
    thread_id: ThreadId = None,
    yes: Yes = False,
) -> int:
    """Delete failed messages for good, by their ids or by a filter."""
    chosen = _filter(error_code, fingerprint, agent, thread_id)
    count = _confirmed(session, message_ids, chosen, "Delete {} for good?", yes=yes)
    if message_ids:
        done = session.client.dead_letters.purge(message_ids)
    else:
        done = session.client.dead_letters.purge(filter=chosen, expected_count=count)
    session.show(done, f"Deleted {len(done.purged)}")
    return 0


def _filter(
    error_code: str | None, fingerprint: str | None, agent: str | None, thread_id: str | None
) -> dict[str, str]:
    given = {"error_code": error_code, "fingerprint": fingerprint, "agent": agent, "thread_id": thread_id}
    return {name: value for name, value in given.items() if value is not None}


def _confirmed(
    session: Session, message_ids: list[str] | None, chosen: Mapping[str, str], question: str, *, yes: bool
) -> int:
    """Return how many messages were chosen, after a person agreed. The server refuses if it finds another number."""
    if bool(message_ids) == bool(chosen):
        message = "Give either ids, or a filter such as --error-code."
        raise Failure("usage", message, f"agentq {session.place.command} --help", exit_code=USAGE)
    flags = {"agent": "--agent", "error_code": "--error-code", "fingerprint": "--fingerprint", "thread_id": "--thread"}
    options = [f"{flags[name]}={value}" for name, value in chosen.items()]
    count = len(message_ids) if message_ids else sum(1 for _ in session.client.dead_letters.list(limit=100, **chosen))
    session.confirm(
        question.format(f"{count} failed message{'' if count == 1 else 's'}"),
        yes=yes or not count,  # nothing is done then
        options=options,
        arguments=message_ids or (),
    )
    return count
