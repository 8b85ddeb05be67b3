"""Names callers for the audit log."""

from collections.abc import Sequence

from starlette.types import Scope

from ..models.audit import LOCAL, Actor, AuditAction, NewAudit, record_of
from ..models.messages import NewMessage
from ..store.parts import depend_on_threads
from .hosts import is_loopback
from .principals import Principal


def actor_of(principal: Principal, connection: Scope) -> Actor:
    """Return who sends a request, by their principal and the ASGI scope of the request."""
    client = connection.get("client")
    address: str | None = None if client is None else client[0]
    if principal.subject is not None:
        name = f"subject:{principal.subject}"
    elif principal.user is not None:
        name = f"user:{principal.user}"
    elif principal.key_id is not None:
        name = f"key:{principal.key_id}"
    else:
        name = LOCAL.name if address is not None and is_loopback(address) else "anonymous"
    return Actor(name, principal.key_id, address)


def interruption_record(caller: Principal, new: Sequence[NewMessage], by: Actor | None) -> NewAudit | None:
    """Return the record of the messages that new messages cancel by `if_busy`. The store gives it their ids.

    Return None if no message may be cancelled, and for an end user, who goes on in their own conversation.
    """
    if caller.subject is not None or not depend_on_threads(new):
        return None
    return record_of(by, AuditAction.CANCEL_MESSAGE, caller.tenant, submitted=[each.id for each in new])
