"""Runs the named queries of a dialect."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class QueryRunner(ABC):
    """Runs named queries on one connection."""

    @abstractmethod
    def each(self, query: str, /, **values: Any) -> Iterable[tuple[Any, ...]]:
        """Iterate over the rows of a named query. Columns have the types of the schema."""

    def rows(self, query: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a named query."""
        return list(self.each(query, **values))

    def row(self, query: str, /, **values: Any) -> tuple[Any, ...] | None:
        """Return the first row of a named query, None if there is no row."""
        return next(iter(self.rows(query, **values)), None)

    def value(self, query: str, /, **values: Any) -> Any:
        """Return the first column of the first row, None if there is no row."""
        row = self.row(query, **values)
        return None if row is None else row[0]

    def rows_of_each(self, queries: Sequence[tuple[str, Mapping[str, Any]]]) -> Sequence[Sequence[tuple[Any, ...]]]:
        """Run several named queries. Return the rows of each."""
        return [self.rows(query, **values) for query, values in queries]
