"""Adds records to the audit log."""

from collections.abc import Callable
from typing import TypeVar

from ...models.audit import NewAudit
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
            self.execute("add_audit", **audit._asdict(), now=self._now())
        return result
