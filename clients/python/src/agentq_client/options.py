"""Options of a submit besides the text, by the names of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any, Literal, TypedDict

Priority = Literal["high", "normal", "low"]
Scalar = str | int | float | bool | None


class SubmitOptions(TypedDict, total=False):
    """The optional fields of a message. `docs/reference/api.md` of the server describes each.

    `continue_` is the field `continue`, which is a word of Python.
    """

    input: Mapping[str, Any]
    command: Mapping[str, Any]
    context: Mapping[str, Any]
    config: Mapping[str, Any]
    priority: Priority
    thread_id: str
    agent: str
    checkpoint_id: str
    continue_: bool
    interrupt_before: Sequence[str] | Literal["*"]
    interrupt_after: Sequence[str] | Literal["*"]
    max_attempts: int
    timeout: float
    run_at: datetime
    delay_seconds: float
    if_busy: Literal["enqueue", "reject", "interrupt", "rollback"]
    events: Sequence[str]
    metadata: Mapping[str, Scalar]
    name: str
    client_message_id: str
    aliases: Sequence[str]
    subject: str
    webhook_url: str
    webhook_events: Sequence[str]


class BatchMessage(SubmitOptions, total=False):
    """A message of a batch."""

    message: str | Sequence[Mapping[str, Any]]


Time = str | datetime | date
"""A time, or a day in UTC. A time without a zone is taken as local time."""

OneOrMore = str | Iterable[str]
"""A text, or several of which one has to fit."""

Text = str | Sequence[Mapping[str, Any]]
"""A text, or content blocks in LangChain's standard form."""


def to_body(message: Text | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a submit. A time without a zone is taken as local time."""
    body = {name: time_text(value) for name, value in options.items() if value is not None}
    if "continue_" in body:
        body["continue"] = body.pop("continue_")
    if message is not None:
        body["message"] = message if isinstance(message, str) else list(message)
    return body


def time_text(value: Any) -> Any:
    """Return a time or a day as the API reads it, and anything else as it is."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def texts(value: OneOrMore | None) -> list[str] | None:
    """Return one or more texts as a list."""
    return None if value is None else [value] if isinstance(value, str) else [*value]
