"""Keeps the audit log: the part that both SQL stores share."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from typing_extensions import override

from ...clock import to_milliseconds
from ...models.audit import AuditFilter, AuditRecord, NewAudit
from ..ports import AuditStore
from ..rows import to_audit
from .rooms import SqlRooms

T = TypeVar("T")


class RecordedChanges(Protocol):
    """Changes, each in a transaction."""

    def recorded(self, audit: NewAudit | None, change: Callable[[], T]) -> T:
        """Call `change` and return its result. Add the record in the same transaction, unless it changes nothing."""


class SqlAudit(SqlRooms, AuditStore):
    """Implements `AuditStore` for both SQL stores."""

    @override
    async def list_audit(
        self, chosen: AuditFilter, *, after: int | None, limit: int, newest_first: bool
    ) -> list[AuditRecord]:
        times = {"since": chosen.since, "until": chosen.until}
        values: dict[str, Any] = {
            **chosen._asdict(),
            **{name: None if time is None else to_milliseconds(time) for name, time in times.items()},
            "after": (2**62 if newest_first else 0) if after is None else after,
            "limit": limit,
        }
        query = "list_audit_newest" if newest_first else "list_audit_oldest"
        return await self._list_thread.run(lambda: [to_audit(row) for row in self._lists.rows(query, **values)])
