"""Changes signing secrets, ends of tokens, and used tickets."""

from typing_extensions import override

from ...models.tokens import SigningSecret
from ..limits import END_SECONDS, TICKET_SECONDS
from ..ports import ACCESS
from ..rows import to_signing_secret
from ..sql.tokens import TokenChanges
from .changes import Changes


class TokenWrites(Changes, TokenChanges):
    """Implements `TokenChanges`, inside a transaction."""

    @override
    def rotate_signing_secret(self, secret_id: str, secret: str, older_than: int) -> list[SigningSecret]:
        added = self.rows("add_signing_secret", id=secret_id, secret=secret, older_than=older_than, now=self._now())
        if added:
            self.execute("drop_signing_secrets")
            self.execute("raise_revision")
            self.touched.add(ACCESS)
        return [to_signing_secret(row) for row in self.rows("list_signing_secrets")]

    @override
    def end_tokens(self, tenant: str, subject: str) -> int:
        now = self._now()
        self.execute("raise_revision")
        self.execute("forget_ends", before=now - END_SECONDS * 1000)
        (ended,) = self.rows("end_tokens", tenant=tenant, subject=subject, now=now)
        self.touched.add(ACCESS)
        return int(ended[0])

    @override
    def use_ticket(self, ticket_id: str) -> bool:
        now = self._now()
        self.execute("forget_tickets", before=now - TICKET_SECONDS * 1000)
        return bool(self.rows("use_ticket", id=ticket_id, now=now))
