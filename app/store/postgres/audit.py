"""Adds records to the audit log."""

from collections.abc import Callable
from typing import TypeVar

from ...clock import Clock
from ...models.audit import NewAudit
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
        with self.session.committing(step("add_audit", **audit._asdict(), now=self.clock.now())):
            return change()
