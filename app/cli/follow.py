"""The command `agentq follow`, and the following of a message that others use: Ctrl-C, questions, the end."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import group
from .failures import INTERRUPTED
from .session import Id, Session, asks_server

if TYPE_CHECKING:
    from ..client import MessageStream
    from ..client.models import Message
    from .showing import AnswerView

app = group()

CANCEL_SECONDS = 2.0
"""How long a second Ctrl-C cancels the message."""

Timeout = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="Stop waiting after so many seconds, with exit code 4."),
]


@app.command()
@asks_server
def follow(
    session: Session,
    message_id: Id,
    *,
    after: Annotated[int | None, typer.Option(min=0, metavar="EVENT", help="Show what comes after this event.")] = None,
    timeout: Timeout = None,
) -> int:
    """Show the answer of a message while it is written.

    Ctrl-C leaves the message running, and a second Ctrl-C cancels it. The answer alone is on standard output.
    """
    return follow_message(session, message_id, after=after, wait_seconds=timeout, is_known=False)


def follow_message(
    session: Session,
    message_id: str,
    *,
    after: int | None = None,
    wait_seconds: float | None = None,
    is_known: bool = True,
) -> int:
    """Show a message to its end and return the exit code. Raises the error of a message without an answer.

    Set `is_known` to False if the server has not answered yet. A stream tries for minutes to connect again, which is
    too long for an address at which no server was seen.
    """
    from .showing import AnswerView

    view = AnswerView(session.terminal)
    message: Message | None = None
    try:
        if not is_known:
            wait_seconds = _check_server(session, message_id, wait_seconds)
        with session.client.follow(message_id, after=after, wait_seconds=wait_seconds) as stream:
            stream.on_pause = view.reconnects
            message = _watch(session, stream, view)
    except KeyboardInterrupt:
        view.close(None)
        return detach(session, message_id)
    finally:
        view.close(message)
    return 0


def _check_server(session: Session, message_id: str, wait_seconds: float | None) -> float | None:
    """Read the message once, and return the seconds that are left. Raises the error of a read that fails."""
    from ..client.calls.messages import status
    from ..client.core.deadline import Deadline

    deadline = Deadline(wait_seconds)
    session.client.call(status(message_id), deadline)
    return deadline.left


def _watch(session: Session, stream: "MessageStream", view: "AnswerView") -> "Message":
    """Show all events and return the completed message."""
    from ..client.core.outcomes import check_end, check_message
    from ..client.events import Interrupted
    from .resume import answer_questions

    for event in stream:
        view.take(event)
        if isinstance(event, Interrupted):
            message = session.client.status(stream.message_id)
            if message.state == "interrupted" and session.terminal.can_ask:
                view.pause()
                answer_questions(session, message)
            else:
                check_message(message)
    if stream.end is not None:
        check_end(stream.message_id, stream.end)
    message = session.client.status(stream.message_id)
    check_message(message)
    return message


def detach(session: Session, message_id: str) -> int:
    """Leave a message running and say how to come back. Cancel it if Ctrl-C comes again."""
    terminal = session.terminal
    terminal.note(f"Detached; the message goes on. Come back: {session.place.fix('follow', message_id)}")
    if not terminal.shows_progress:
        return INTERRUPTED
    try:
        terminal.note(f"Press Ctrl-C again within {CANCEL_SECONDS:.0f} seconds to cancel it.")
        time.sleep(CANCEL_SECONDS)
    except KeyboardInterrupt:
        cancelled = session.client.cancel(message_id)
        ended = cancelled.state == "cancelled"
        terminal.note("The message is cancelled." if ended else "The message is being stopped.")
    return INTERRUPTED
