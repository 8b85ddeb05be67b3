"""Keeps signing secrets, ends of tokens, and used tickets."""

from datetime import datetime
from typing import Any

from typing_extensions import override

from ...clock import to_milliseconds
from ...models.audit import NewAudit
from ...models.tokens import SigningSecret
from ..erasures import hidden_subject
from ..limits import END_SECONDS, TICKET_SECONDS
from ..ports import ACCESS, TokenStore
from ..rows import to_signing_secret
from .rooms import RedisRooms


class RedisTokens(RedisRooms, TokenStore):
    """Implements `TokenStore` on Redis."""

    @override
    async def rotate_signing_secret(self, secret_id: str, secret: str, *, older_than: datetime) -> list[SigningSecret]:
        _, rows = await self._writes.run(
            "rotate_signing_secret", self._now(), secret_id, secret, to_milliseconds(older_than),
            topics=lambda reply: (ACCESS,) if reply[0] else (),
        )  # fmt: skip
        return _secrets(rows)

    @override
    async def list_signing_secrets(self) -> list[SigningSecret]:
        return _secrets(await self._reads.run("list_signing_secrets"))

    @override
    async def end_tokens(self, tenant: str, subject: str | None, *, audit: NewAudit | None = None) -> int:
        reply = await self._writes.run(
            "end_tokens",
            self._now(),
            tenant,
            hidden_subject(subject),
            END_SECONDS,
            topics=lambda _: (ACCESS,),
            audit=self._record(audit),
        )
        return int(reply)

    @override
    async def tokens_ended(self, tenant: str, subject: str | None) -> int:
        return int(await self._reads.run("tokens_ended", tenant, hidden_subject(subject)))

    @override
    async def use_ticket(self, ticket_id: str) -> bool:
        return bool(await self._writes.run("use_ticket", ticket_id, TICKET_SECONDS))


def _secrets(rows: list[list[Any]]) -> list[SigningSecret]:
    return [to_signing_secret((secret_id, secret, int(created_at))) for secret_id, secret, created_at in rows]
