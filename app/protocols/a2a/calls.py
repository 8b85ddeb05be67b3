"""A call of a method: who makes it, and what its headers say."""

from typing import NamedTuple

from ...access.principals import Principal
from ...access.scopes import AccessScope
from ...errors import Forbidden, MessageNotFound
from ...models.audit import Actor
from ...models.messages import Message, Priority
from ...services import Services

CURSOR = "urn:agent-queue-system:a2a:cursor:1"
"""The extension by which a client goes on with a stream where it was cut off."""


MAX_ID_LENGTH = 255
"""Maximum number of characters of an id. No task has a longer one, and no error repeats it whole."""


class Call(NamedTuple):
    """A caller and the agent that is called."""

    services: Services
    caller: Principal
    by: Actor
    agent: str

    def require(self, scope: AccessScope, method: str) -> None:
        """Raise Forbidden unless the caller has the scope of a method."""
        if scope not in self.caller.scopes:
            raise Forbidden(f"{method} needs the scope `{scope}`, which the caller does not have. Use another API key.")

    async def task(self, name: str) -> Message:
        """Return the message of a task of this agent. Raises MessageNotFound."""
        if len(name) > MAX_ID_LENGTH:
            raise MessageNotFound(name[:MAX_ID_LENGTH])
        message = await self.services.queue.get(self.caller, name)
        if message.agent != self.agent:
            raise MessageNotFound(name)
        return message


class Headers(NamedTuple):
    """The values of a call's headers. Texts are empty without the header."""

    base_url: str
    version: str = ""
    extensions: str = ""
    last_event_id: str = ""
    priority: Priority | None = None
    key: str | None = None

    @property
    def wants_cursors(self) -> bool:
        """Return whether the client asks for the extension of cursors."""
        return CURSOR in (each.strip() for each in self.extensions.split(","))
