"""Callers of a running server who are admitted as a certain principal."""

from app.access.principals import Principal
from app.access.verification import _digest
from tests.servers import LiveServer


async def admit(server: LiveServer, principal: Principal) -> str:
    """A credential of this principal."""
    keys = server.runtime.services.access._keys
    text = f"aq_{len(keys._verified)}"
    keys._verified[_digest(text)] = principal._replace(key_id=text)
    return text
