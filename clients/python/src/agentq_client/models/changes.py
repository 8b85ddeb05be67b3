"""Changes of the server."""

from __future__ import annotations

from datetime import datetime

from .base import Model


class Change(Model):
    """A change of the server, such as `message.completed`. Fields that its type does not have are None.

    `id` is where to continue after it.
    """

    id: str
    type: str
    at: datetime
    message_id: str | None = None
    thread_id: str | None = None
    agent: str | None = None
    priority: str | None = None
    state_before: str | None = None
    state: str | None = None
    error_code: str | None = None
    worker_id: str | None = None


class ChangesReset(Model):
    """The reader loads its lists anew; later changes are all since. `reason` is `start` or `expired`."""

    id: str
    reason: str


class ChangePage(Model):
    """A page of changes, oldest first. Give `last_event_id` as `after` for the next page.

    `reset` says that changes before these are no longer kept, `more` that there are later ones already.
    """

    events: list[Change] = []
    last_event_id: str
    reset: bool = False
    more: bool = False
