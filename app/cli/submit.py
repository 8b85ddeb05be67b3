"""The command `agentq submit`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import texts
from .commands import group
from .failures import USAGE, Failure
from .filters import Priority
from .follow import Timeout, follow_message
from .resume import to_json
from .session import Session, asks_server
from .terminal import jsonable

if TYPE_CHECKING:
    from ..client.models import Accepted

app = group()

STDIN = Path("-")

MAX_TEXT = 64 * 1024 * 1024
"""Characters of a file that are read. A server takes a megabyte by default, and a device never ends."""


@app.command()
@asks_server
def submit(
    session: Session,
    message: Annotated[str | None, typer.Argument(metavar="TEXT", help="The text.", show_default=False)] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the text from this file; - is standard input.")
    ] = None,
    graph_input: Annotated[
        Any, typer.Option("--input", parser=to_json, metavar="JSON", help="The input of the agent, in place of a text.")
    ] = None,
    thread: Annotated[str | None, typer.Option(metavar="ID", help="The conversation to which it belongs.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="Default: normal.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="Default: the server's default agent.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A second submit with the same key stores nothing more.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show the answer while it is written.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Print the whole answer when it is there.")] = False,
    timeout: Timeout = None,
) -> int:
    """Submit a message. Print its id, or its answer with --follow or --wait."""
    terminal = session.terminal
    given = {"input": graph_input, "thread_id": thread, "priority": priority, "agent": agent}
    options: Any = {name: value for name, value in given.items() if value is not None}
    if follow and wait:
        raise _refused(session, "Give either --follow or --wait. The answer is shown with both.")
    text = _text(session, message, file, needs_text=graph_input is None)
    try:
        accepted = session.client.submit(text, idempotency_key=idempotency_key, **options)
    except KeyboardInterrupt:
        terminal.note(f"Stopped before the server's answer; the message may be stored. Look: {session.place.fix('ls')}")
        raise
    if follow:
        if terminal.as_json:
            terminal.record({"id": None, "type": "accepted", "data": jsonable(accepted)})
        return follow_message(session, accepted.message_id, wait_seconds=timeout)
    if wait:
        return _await_answer(session, accepted.message_id, timeout)
    session.show(accepted, accepted.message_id)
    if not terminal.as_json:
        terminal.note(f"{_standing(session, accepted)}. Follow it: {session.place.fix('follow', accepted.message_id)}")
    return 0


def _standing(session: Session, accepted: "Accepted") -> str:
    """Return where a new message stands. For a person, ask why it waits, which the reply to a submit does not say."""
    from ..client.errors import AgentQError

    if not session.terminal.shows_progress:
        return texts.accepted(accepted)
    try:
        message = session.client.status(accepted.message_id)
    except AgentQError:  # the message is stored all the same
        return texts.accepted(accepted)
    standing = texts.accepted(message)
    if message.waiting_reason is not None and message.waiting_reason.code == "paused":
        standing += f". Open it: {session.place.fix('queue', 'resume')}"
    return standing


def _await_answer(session: Session, message_id: str, timeout: float | None) -> int:
    from .follow import detach
    from .showing import AnswerView

    try:
        with session.client.follow(message_id, wait_seconds=timeout) as stream:
            stream.on_pause = AnswerView(session.terminal).reconnects
            done = stream.until_done()
    except KeyboardInterrupt:
        return detach(session, message_id)
    session.show(done, done.result or "")
    return 0


def _text(session: Session, message: str | None, file: Path | None, *, needs_text: bool) -> str | None:
    """Return the text that was given in one of its ways. Raises Failure."""
    if message is not None and file is not None:
        raise _refused(session, "Give the text either as an argument or with --file.")
    if message is not None:
        return message
    if file is not None:
        try:
            with nullcontext(session.terminal.stdin) if file == STDIN else file.open(encoding="utf-8") as opened:
                text = opened.read(MAX_TEXT + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise _refused(session, f"The text of {file} cannot be read: {texts.reason(error)}.") from error
        if len(text) > MAX_TEXT:
            raise _refused(session, f"The text of {file} has more than {MAX_TEXT:,} characters.")
        return text
    if needs_text:
        raise _refused(session, "Give a text, --file or --input.")
    return None


def _refused(session: Session, message: str) -> Failure:
    return Failure("usage", message, f"agentq {session.place.command} --help", exit_code=USAGE)
