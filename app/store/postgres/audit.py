"""Adds records to the audit log."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ...clock import Clock
from ...models.audit import NewAudit
from ..rows import audit_values
from .queries import PostgresReads
from .session import step

T = TypeVar("T")


class Recording(PostgresReads):
    """Adds the records of changes."""

    clock: Clock

    def recorded(self, audit: NewAudit | None, change: Callable[[], T]) -> T:
        """Implement `RecordedChanges.recorded`. A transaction that is discarded has changed nothing."""
        if audit is None:
            return change()
        with self.session.committing(step("add_audit", **audit_values(audit), now=self.clock.now())):
            return change()

    def record_cancels(self, audit: NewAudit | None, message_ids: Sequence[str]) -> None:
        """Add a record of the messages that new messages have cancelled, if there are any. Call this last."""
        if audit is not None and message_ids:
            audit = audit._replace(targets=tuple(message_ids))
            self.session.run_all(step("add_audit", **audit_values(audit), now=self.clock.now()))
