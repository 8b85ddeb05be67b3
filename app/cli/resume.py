"""The command `agentq resume`, which answers an agent's question."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .commands import group
from .failures import USAGE, Failure
from .session import Id, Session, asks_server

if TYPE_CHECKING:
    from ..client.models import Message, Question

app = group()


def to_json(given: str) -> Any:
    """Return the value of an option that takes JSON. Raises typer.BadParameter."""
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"expected JSON: {error}") from None


@app.command()
@asks_server
def resume(
    session: Session,
    message_id: Id,
    answer: Annotated[
        str | None, typer.Argument(metavar="ANSWER", help="The answer. Without it, the terminal asks.")
    ] = None,
    *,
    value: Annotated[
        Any, typer.Option("--json-answer", parser=to_json, metavar="JSON", help="An answer in JSON.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then show the answer of the message.")] = False,
) -> int:  # fmt: skip
    """Answer the question of an interrupted message, as an argument or on the terminal."""
    from .follow import follow_message

    message = session.client.status(message_id)
    if message.state != "interrupted":
        said = f"The message {message_id} is {message.state} and asks nothing."
        raise Failure("not_interrupted", said, session.place.fix("status", message_id))
    given = value if answer is None else answer
    if given is not None:
        if len(message.interrupts) > 1:
            said = f"The message asks {len(message.interrupts)} questions. Answer them on a terminal, or by the API."
            raise Failure("several_questions", said, session.place.fix("status", message_id), exit_code=USAGE)
        session.client.resume(message_id, given)
    elif session.terminal.can_ask:
        answer_questions(session, message)
    else:
        said = f"The message asks: {question_text(message.interrupts[0])} Give the answer as an argument."
        raise Failure("answer_missing", said, session.place.fix("resume", message_id, "ANSWER"), exit_code=USAGE)
    if follow:
        return follow_message(session, message_id)
    if session.terminal.as_json:
        session.terminal.record({"message_id": message_id, "state": "queued"})
    else:
        session.terminal.note(f"Answered. Follow it: {session.place.fix('follow', message_id)}")
    return 0


def answer_questions(session: Session, message: "Message") -> None:
    """Ask each question of a message on the terminal, and send the answers."""
    from .questions import read_question

    answers = {}
    for question in map(read_question, message.interrupts):
        for line in question.lines():
            session.terminal.note(line)
        answers[question.id] = question.answer(session.terminal.ask("> "))
    session.client.resume(message.message_id, values=answers)


def question_text(question: "Question") -> str:
    """Return a question as a line of text."""
    value = question.value
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        value = value["question"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
