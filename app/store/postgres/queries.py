"""Runs named queries on one session."""

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from ..sql.reads import Reads
from .connection import ReadOnly
from .session import Rows, Session, step


class PostgresReads(Reads):
    """Runs the shared reads on one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @override
    def each(self, query: str, /, **values: Any) -> Rows:
        return self.session.rows(query, **values)

    @override
    def rows_of_each(self, queries: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Rows]:
        return self.session.run_all(*(step(query, **values) for query, values in queries))

    @override
    def find_log(self, tenant: str, message_id: str, after: int, limit: int) -> tuple[str, int, int, Rows] | None:
        # One round trip, since a reader waits for it at each event.
        found, bounds, rows = self.session.run_all(
            step("find_log", tenant=tenant, id=message_id),
            step("log_bounds", id=message_id),
            step("read_events", id=message_id, after=after, limit=limit),
        )
        return (found[0][1], *bounds[0], rows) if found else None

    def prove_writable(self) -> None:
        """Raise ReadOnly if the server accepts no writes. The session then drops its connection."""
        if self.value("is_read_only"):
            raise ReadOnly
