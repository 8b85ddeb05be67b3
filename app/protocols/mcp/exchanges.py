"""An exchange: one call of a tool, who makes it, and how far its caller has been told what happens."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Field, TypeAdapter

from ...access.principals import Principal
from ...api.streaming import MAX_EVENT_ID
from ...errors import InvalidRequest
from ...models.audit import Actor
from ...models.messages import Priority
from ...models.types import Text
from ...services import Services
from ..runs import Run

SCOPE_KEY = "agent_queue.mcp"
"""The key of the exchange in the ASGI scope of its request."""

MAX_CLIENT_IDS = 256
"""Maximum characters of the ids that a client gives to a call. A call with longer ones cannot be resumed."""

LAST_EVENT_ID = "Last-Event-ID"

Number = Annotated[int, Field(strict=True, ge=0, le=MAX_EVENT_ID)]
ClientId = Annotated[int, Field(strict=True)] | Text


class Place(NamedTuple):
    """A place in what the caller of a tool was told: behind the event `event` of a message, and `notes` behind it.

    Notes are texts about the queue, which no log has.
    """

    event: Number = 0
    notes: Number = 0


class Resumption(NamedTuple):
    """All that a process needs to go on with a call whose connection was cut, wherever it began.

    `request_id` and `token` are the client's: the id of its request, and that of its progress (None: it wants no
    progress). `until` is the time at which the call stops waiting, in milliseconds since the epoch; None means never.
    """

    tool: Text
    message_id: Text
    place: Place
    until: Number | None
    request_id: ClientId
    token: ClientId | None

    @property
    def event_id(self) -> str | None:
        """Return the id of the server-sent event that ends at this place. None if the client's ids are too long."""
        if len(str(self.request_id)) + len(str(self.token)) > MAX_CLIENT_IDS:
            return None
        return base64.urlsafe_b64encode(json.dumps(self, separators=(",", ":")).encode()).rstrip(b"=").decode()

    @classmethod
    def of(cls, event_id: str) -> "Resumption":
        """Return the resumption with this id. Raises InvalidRequest if no event has the id."""
        try:
            return _RESUMPTION.validate_json(base64.urlsafe_b64decode(event_id.encode() + b"=="))
        except (ValueError, binascii.Error):
            told = "expected the id of an event of this server. Call wait_for_message to read the message anew"
            raise InvalidRequest(f"{LAST_EVENT_ID}: {told}", field=LAST_EVENT_ID) from None


_RESUMPTION = TypeAdapter(Resumption)


@dataclass
class Exchange:
    """One call of a tool.

    - `priority` is what a header names, and `alias` a further id for the message of a run.
    - `resumed` is set if the call goes on after its connection was cut.
    - `tool` is the tool's name. `message_id` is the message that the call waits for, and `until` the end of the wait in
      milliseconds since the epoch. `place` is how far the caller was told about it.
    - `run` is the run that is cancelled if the caller leaves.
    - `can_resume` tells that the client has an id with which it can go on after a cut.
    - `tell` gives the caller a progress and its text. `when_waiting` is called when the call begins to wait.
    """

    services: Services
    caller: Principal
    by: Actor
    priority: Priority | None = None
    alias: str | None = None
    resumed: Resumption | None = None
    tool: str | None = None
    message_id: str | None = None
    until: int | None = None
    place: Place = field(default_factory=Place)
    run: Run | None = None
    can_resume: bool = False
    tell: Callable[[float, str], Awaitable[None]] | None = None
    when_waiting: Callable[[], Awaitable[None]] | None = None
