"""Records of what operators and callers changed."""

from typing import Protocol

from ...models.audit import AuditFilter, AuditRecord


class AuditStore(Protocol):
    """Keeps the audit log (tests/contract/test_audit.py). Nothing deletes a record, and only erasures change any.

    The methods of other ports that change what an operator may change take a record as `audit`. It is added in the
    transaction of the change: neither is stored without the other. A refused call adds no record. Neither does a call
    that changes nothing: a repeated cancel or revocation, a replayed answer.
    """

    async def list_audit(
        self, chosen: AuditFilter, *, after: int | None, limit: int, newest_first: bool
    ) -> list[AuditRecord]:
        """Return up to `limit` records that follow the record with the number `after`; with None, from the start.

        A filter that few records match reads the whole log.
        """
