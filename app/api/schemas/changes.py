"""Changes of the server, as `GET /events` sends them."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from ...events.changes import ResetReason, fields_of, type_of
from ...models.messages import MessageState, Priority
from ...models.transitions import Transition, TransitionType
from ...models.types import Moment
from .examples import CREATED, MESSAGE_ID, THREAD_ID, example

CHANGE: dict[str, Any] = {
    "type": "message.completed",
    "at": CREATED,
    "message_id": MESSAGE_ID,
    "thread_id": THREAD_ID,
    "agent": "chat",
    "priority": "normal",
    "state_before": "processing",
    "state": "completed",
    "error_code": None,
    "worker_id": None,
}

ChangeType = StrEnum(  # type: ignore[misc]  # mypy: only literal members
    "ChangeType",
    {kind.name: type_of(Transition("", 0, "", kind)) for kind in TransitionType},
)
ChangeType.__doc__ = "The kinds of changes."


class Change(BaseModel):
    """A change. Fields that its type does not have are null."""

    model_config = example(**CHANGE)

    type: ChangeType
    at: Moment = Field(description="When it happened, by the store's clock.")
    message_id: str | None
    thread_id: str | None
    agent: str | None
    priority: Priority | None
    state_before: MessageState | None = Field(description="The state of the message before. Null for a new message.")
    state: MessageState | None = Field(description="The state afterwards. Null for a purged message.")
    error_code: str | None = Field(description="Why the message failed.")
    worker_id: str | None


class ListedChange(Change):
    """A change with its id."""

    model_config = example(id="7f3c2a91-1042", **CHANGE)

    id: str


class ChangeList(BaseModel):
    """Changes behind `after`, oldest first."""

    model_config = example(
        events=[{"id": "7f3c2a91-1042", **CHANGE}], last_event_id="7f3c2a91-1042", reset=False, more=False
    )

    events: list[ListedChange]
    last_event_id: str = Field(description="Give this as `after` to read the later changes.")
    reset: bool = Field(
        description="Whether changes behind `after` are no longer kept. The list then begins with the oldest that is."
    )
    more: bool = Field(description="Whether there are later changes already.")


class ChangesReset(BaseModel):
    """The reader loads its lists. Later events are all changes since."""

    reason: ResetReason = Field(
        description="`start` without an id, `expired` for one whose later changes are not kept."
    )


class CursorMoved(BaseModel):
    """The id has moved, and nothing that the reader sees has changed."""


_ITEMS: dict[str, type[BaseModel]] = {"change": Change, "reset": ChangesReset, "cursor": CursorMoved}


def change_items() -> dict[str, Any]:
    """Return the schema of a server-sent event, whose data is JSON as text."""
    return {"oneOf": [_item(event, model.__name__) for event, model in _ITEMS.items()]}


def _item(event: str, name: str) -> dict[str, Any]:
    content = {"$ref": f"#/components/schemas/{name}"}
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"const": event},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": content},
        },
        "required": ["id", "event", "data"],
    }


def listed(change: Transition) -> dict[str, Any]:
    """Return a change with its id, in the form of `ListedChange`."""
    return {"id": change.cursor, **fields_of(change)}
