"""Callers of a running server who are admitted as a certain principal."""

from app.access.principals import Principal
from app.access.verification import OtherCredentials
from tests.servers import LiveServer


class AdmittedCredentials(OtherCredentials):
    """Credentials that are nowhere in the store. They outlive what a server forgets when a tenant or a key changes."""

    def __init__(self) -> None:
        self._principals: dict[str, Principal] = {}

    def admit(self, principal: Principal) -> str:
        """Return a new credential of this principal."""
        text = f"aq_{len(self._principals)}"
        self._principals[text] = principal._replace(key_id=text)
        return text

    def accepts(self, text: str) -> bool:
        return text in self._principals

    async def verify(self, text: str) -> Principal:
        return self._principals[text]

    def forget(self) -> None:
        """Keep them."""


async def admit(server: LiveServer, principal: Principal) -> str:
    """A credential of this principal."""
    keys = server.runtime.services.access._keys
    admitted = next((each for each in keys._others if isinstance(each, AdmittedCredentials)), None)
    if admitted is None:
        admitted = AdmittedCredentials()
        keys._others = [admitted, *keys._others]
    return admitted.admit(principal)
