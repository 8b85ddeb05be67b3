"""Names callers for the audit log."""

from starlette.types import Scope

from ..models.audit import LOCAL, Actor
from .hosts import is_loopback
from .principals import Principal


def actor_of(principal: Principal, connection: Scope) -> Actor:
    """Return who sends a request, by their principal and the ASGI scope of the request."""
    client = connection.get("client")
    address: str | None = None if client is None else client[0]
    if principal.subject is not None:
        name = f"subject:{principal.subject}"
    elif principal.key_id is not None:
        name = f"key:{principal.key_id}"
    else:
        name = LOCAL.name if address is not None and is_loopback(address) else "anonymous"
    return Actor(name, principal.key_id, address)
