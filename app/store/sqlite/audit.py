"""Adds records to the audit log."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ...models.audit import NewAudit
from ..rows import audit_values
from .queries import SqliteReads

T = TypeVar("T")


class Recording(SqliteReads):
    """Adds the records of changes, inside a transaction."""

    _now: Callable[[], int]
    _changes_nothing = False
    """Whether the present change turned out to change nothing, so that it adds no record."""

    def recorded(self, audit: NewAudit | None, change: Callable[[], T]) -> T:
        """Implement `RecordedChanges.recorded`."""
        self._changes_nothing = False
        result = change()
        if audit is not None and not self._changes_nothing:
            self.execute("add_audit", **audit_values(audit), now=self._now())
        return result

    def record_cancels(self, audit: NewAudit | None, message_ids: Sequence[str]) -> None:
        """Add a record of the messages that new messages have cancelled, if there are any."""
        if audit is not None and message_ids:
            audit = audit._replace(targets=tuple(message_ids))
            self.execute("add_audit", **audit_values(audit), now=self._now())
