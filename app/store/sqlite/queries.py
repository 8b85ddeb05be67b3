"""Runs named queries on one connection."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import apsw
from typing_extensions import override

from ..sql.reads import Reads


class SqliteReads(Reads):
    """Runs the shared reads on one connection."""

    def __init__(self, connection: Callable[[], apsw.Connection], queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def execute(self, query: str, /, **values: Any) -> apsw.Cursor:
        """Run a named query."""
        return self._connection().execute(self._queries[query], values)

    def execute_each(self, query: str, values: Iterable[Mapping[str, Any]]) -> apsw.Cursor:
        """Run a named query with each of these values. Return all rows in this order."""
        return self._connection().executemany(self._queries[query], values)

    @override
    def each(self, query: str, /, **values: Any) -> apsw.Cursor:
        return self._connection().execute(self._queries[query], values)

    @override
    def rows(self, query: str, /, **values: Any) -> list[tuple[Any, ...]]:
        return self._connection().execute(self._queries[query], values).fetchall()
