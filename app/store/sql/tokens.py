"""Keeps what tokens and tickets need: the part that both SQL stores share."""

from datetime import datetime
from typing import Protocol

from typing_extensions import override

from ...clock import to_milliseconds
from ...models.audit import NewAudit
from ...models.tokens import SigningSecret
from ..erasures import hidden_subject
from ..ports import TokenStore
from ..rows import to_signing_secret
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms


class TokenChanges(RecordedChanges, Protocol):
    """Implements the writes of `TokenStore` inside a transaction."""

    def rotate_signing_secret(self, secret_id: str, secret: str, older_than: int) -> list[SigningSecret]:
        """Implement `TokenStore.rotate_signing_secret`. The time is in milliseconds."""

    def end_tokens(self, tenant: str, subject: str) -> int:
        """Implement `TokenStore.end_tokens`. The subject is hidden, '' for the tenant."""

    def use_ticket(self, ticket_id: str) -> bool:
        """Implement `TokenStore.use_ticket`."""


class SqlTokens(SqlRooms, TokenStore):
    """Implements `TokenStore` for both SQL stores."""

    _access_thread: GroupCommitThread
    _token_changes: TokenChanges

    @override
    async def rotate_signing_secret(self, secret_id: str, secret: str, *, older_than: datetime) -> list[SigningSecret]:
        before = to_milliseconds(older_than)
        return await self._access_thread.run(
            lambda: self._token_changes.rotate_signing_secret(secret_id, secret, before)
        )

    @override
    async def list_signing_secrets(self) -> list[SigningSecret]:
        def read() -> list[SigningSecret]:
            return [to_signing_secret(row) for row in self._reads.rows("list_signing_secrets")]

        return await self._read_thread.run(read)

    @override
    async def end_tokens(self, tenant: str, subject: str | None, *, audit: NewAudit | None = None) -> int:
        changes = self._token_changes
        return await self._access_thread.run(
            lambda: changes.recorded(audit, lambda: changes.end_tokens(tenant, hidden_subject(subject)))
        )

    @override
    async def tokens_ended(self, tenant: str, subject: str | None) -> int:
        return await self._read_thread.run(
            lambda: int(self._reads.value("tokens_ended", tenant=tenant, subject=hidden_subject(subject)))
        )

    @override
    async def use_ticket(self, ticket_id: str) -> bool:
        return await self._access_thread.run(lambda: self._token_changes.use_ticket(ticket_id))
