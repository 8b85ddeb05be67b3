"""Changes signing secrets, ends of tokens, and used tickets."""

from typing_extensions import override

from ...models.tokens import SigningSecret
from ..limits import END_SECONDS, TICKET_SECONDS
from ..ports import ACCESS
from ..rows import to_signing_secret
from ..sql.tokens import TokenChanges
from .changes import Writes
from .session import step


class TokenWrites(Writes, TokenChanges):
    """Implements `TokenChanges`. Each method runs in a transaction of its own."""

    @override
    def rotate_signing_secret(self, secret_id: str, secret: str, older_than: int) -> list[SigningSecret]:
        with self.transaction(step("lock_access")) as (now, _):
            if self.rows("add_signing_secret", id=secret_id, secret=secret, older_than=older_than, now=now):
                self.session.run_all(step("drop_signing_secrets"), step("raise_revision"))
                self.touched.add(ACCESS)
            return [to_signing_secret(row) for row in self.rows("list_signing_secrets")]

    @override
    def end_tokens(self, tenant: str, subject: str) -> int:
        with self.transaction(step("lock_access")) as (now, _):
            *_, ended = self.session.run_all(
                step("raise_revision"),
                step("forget_ends", before=now - END_SECONDS * 1000),
                step("end_tokens", tenant=tenant, subject=subject, now=now),
            )
            self.touched.add(ACCESS)
            return int(ended[0][0])

    @override
    def use_ticket(self, ticket_id: str) -> bool:
        with self.transaction() as (now, _):
            *_, used = self.session.run_all(
                step("forget_tickets", before=now - TICKET_SECONDS * 1000), step("use_ticket", id=ticket_id, now=now)
            )
            return bool(used)
