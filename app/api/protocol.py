"""What a response may ask of its connection, which ASGI has no words for."""

from typing import Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

EXTENSION = "agent_queue.connection"


class Connection(Protocol):
    """The connection of a request, a part of asyncio's transport."""

    def get_write_buffer_size(self) -> int:
        """Bytes that were given to it and are not yet sent."""

    def abort(self) -> None:
        """Close it at once, without waiting for what is not yet sent."""


class ConnectedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which shows the connection to the application."""

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        super().on_message_begin()
        cast(Scope, self.scope)["extensions"] = {EXTENSION: self.transport}


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request; None under a server that does not show it."""
    connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
    return connection
