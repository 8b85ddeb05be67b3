"""Commands on messages by their ids, and the list of messages."""

import json
from collections.abc import Callable, Sequence
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import group
from .failures import explain
from .filters import OfAgent, OfErrorCode, OfMetadata, OfPriority, OfState, OfSubject, OfThread
from .resume import question_text
from .session import MAX_LIST, Ids, Session, asks_server
from .terminal import Column, jsonable
from .texts import accepted, age, footer, stamp

if TYPE_CHECKING:
    from ..client.models import Message

app = group()

WATCH_SECONDS = 2.0

ONLY_OF_ONE = ("estimated_start_at", "waiting_reason")
"""Fields that the server reads for one message only. In its lists they are null, which would look like a fact."""

COLUMNS = (
    Column("ID"), Column("STATE"), Column("AGE", least=75), Column("PRIORITY", least=105), Column("AGENT", least=120),
    Column("THREAD", least=140), Column("MESSAGE", is_long=True),
)  # fmt: skip


@app.command()
@asks_server
def status(session: Session, message_ids: Ids) -> int:
    """Show messages by their ids."""

    def show(message_id: str) -> None:
        message = session.client.status(message_id)
        if session.terminal.as_json:
            session.terminal.record(jsonable(message))
        else:
            session.terminal.fields(message_fields(message))

    return _each(session, message_ids, show)


@app.command()
@asks_server
def cancel(session: Session, message_ids: Ids) -> int:
    """Cancel messages in any state. A message that runs is stopped."""

    def stop(message_id: str) -> None:
        done = session.client.cancel(message_id)
        session.show(done, f"{message_id} {'cancelled' if done.state == 'cancelled' else 'is being stopped'}")

    return _each(session, message_ids, stop)


@app.command()
@asks_server
def retry(session: Session, message_ids: Ids) -> int:
    """Queue failed messages again."""

    def again(message_id: str) -> None:
        done = session.client.retry(message_id)
        session.show(done, f"{message_id} {accepted(done)}")

    return _each(session, message_ids, again)


@app.command()
@asks_server
def ls(
    session: Session,
    *,
    state: OfState = None,
    thread: OfThread = None,
    agent: OfAgent = None,
    priority: OfPriority = None,
    error_code: OfErrorCode = None,
    subject: OfSubject = None,
    metadata: OfMetadata = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIST, help="How many to show.", show_default=True)] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Show the list again every two seconds.")] = False,
) -> int:
    """List messages, newest first."""

    def listed() -> list["Message"]:
        found = session.client.messages(
            state=state, thread_id=thread, agent=agent, priority=priority, error_code=error_code, subject=subject,
            metadata=dict(metadata) if metadata else None, limit=min(limit, 100),
        )  # fmt: skip
        return list(islice(found, limit))

    show_messages(session, listed())
    while watch:
        sleep(WATCH_SECONDS)
        if session.terminal.shows_data:
            session.terminal.clear()
        show_messages(session, listed())
    return 0


def show_messages(session: Session, messages: Sequence["Message"]) -> None:
    """Write messages as a table, or as JSON lines."""
    if session.terminal.as_json:
        for message in messages:
            read = jsonable(message)
            session.terminal.record({name: value for name, value in read.items() if name not in ONLY_OF_ONE})
        return
    session.terminal.table(COLUMNS, [_row(message) for message in messages])


def _row(message: "Message") -> tuple[str, ...]:
    return (
        message.message_id, message.state, age(message.created_at), message.priority, message.agent,
        message.thread_id or "", message.user_message,
    )  # fmt: skip


def message_fields(message: "Message") -> list[tuple[str, str]]:
    """Return the names and texts of a message's fields, in the order in which people read them."""
    state = accepted(message)
    failed = f"{message.error} ({message.error_code})" if message.error else ""
    return [
        ("id", message.message_id), ("state", state), ("agent", message.agent), ("priority", message.priority),
        ("thread", message.thread_id or ""), ("created", stamp(message.created_at)),
        ("started", stamp(message.started_at)), ("ended", stamp(message.completed_at)),
        ("attempt", str(message.attempt or "")), ("usage", footer(message) if message.completed_at else ""),
        ("metadata", json.dumps(message.metadata) if message.metadata else ""), ("message", message.user_message),
        *(("question", question_text(question)) for question in message.interrupts),
        ("error", failed), ("result", message.result or ""),
    ]  # fmt: skip


def _each(session: Session, message_ids: Sequence[str], act: Callable[[str], None]) -> int:
    """Do the same with each message. Of several, a failure of one is noted and the others are done too."""
    if len(message_ids) == 1:
        act(message_ids[0])
        return 0
    from ..client.errors import APIError

    code = 0
    for message_id in message_ids:
        try:
            act(message_id)
        except APIError as error:
            failure = explain(error, session.place)
            session.terminal.tell(failure.code, f"{message_id}: {failure.message}", failure.fix)
            code = max(code, failure.exit_code)
    return code
