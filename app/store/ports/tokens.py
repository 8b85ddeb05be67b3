"""Signing secrets of tokens, ends of tokens, and used tickets."""

from datetime import datetime
from typing import Protocol

from ...models.audit import NewAudit
from ...models.tokens import SigningSecret


class TokenStore(Protocol):
    """Keeps what tokens and tickets need, which are not stored themselves (tests/contract/test_tokens.py)."""

    async def rotate_signing_secret(self, secret_id: str, secret: str, *, older_than: datetime) -> list[SigningSecret]:
        """Store a secret unless there is one that was stored at `older_than` or later. Return the live ones.

        The two newest secrets are live, the newest first; older ones are deleted. A new secret raises the revision and
        hints at ACCESS.
        """

    async def list_signing_secrets(self) -> list[SigningSecret]:
        """Return the live secrets, the newest first."""

    async def end_tokens(self, tenant: str, subject: str | None, *, audit: NewAudit | None = None) -> int:
        """End the tokens of a subject, or with None those of the tenant, which were made before now.

        Raises the revision, hints at ACCESS, and returns the revision.
        """

    async def tokens_ended(self, tenant: str, subject: str | None) -> int:
        """Return the revision at which the tokens of a subject, or of its tenant, were last ended; 0 for never.

        Ends are kept for END_SECONDS, which is longer than any token lives.
        """

    async def use_ticket(self, ticket_id: str) -> bool:
        """Note that a ticket is used, for at least TICKET_SECONDS. Return False if it was used before."""
