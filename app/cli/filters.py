"""The options that choose messages, for all commands that list or export them."""

from enum import StrEnum
from typing import Annotated, Any

import typer


class State(StrEnum):
    """A state of a message."""

    QUEUED = "queued"
    PROCESSING = "processing"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """A priority of a message."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def _pair(given: str) -> tuple[str, str]:
    """Return the name and value of NAME=VALUE. Raises typer.BadParameter."""
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise typer.BadParameter("expected NAME=VALUE")
    return name, value


OfState = Annotated[State | None, typer.Option(help="Only messages in this state.")]
OfThread = Annotated[str | None, typer.Option(metavar="ID", help="Only messages of this conversation.")]
OfAgent = Annotated[str | None, typer.Option(metavar="NAME", help="Only messages for this agent.")]
OfPriority = Annotated[Priority | None, typer.Option(help="Only messages with this priority.")]
OfErrorCode = Annotated[str | None, typer.Option(metavar="CODE", help="Only messages that failed so.")]
OfSubject = Annotated[str | None, typer.Option(metavar="NAME", help="Only messages of this end user.")]
OfMetadata = Annotated[
    list[Any] | None, typer.Option(parser=_pair, metavar="NAME=VALUE", help="Only messages with this metadata.")
]
