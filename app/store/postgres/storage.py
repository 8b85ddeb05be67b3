"""Measures what is stored. Tables and their indexes are what the queue uses up."""

from collections.abc import Sequence

from typing_extensions import override

from ...models.storage import StorageArea
from ..sql.storage import SqlStorage


class PostgresStorage(SqlStorage):
    """Implements `StorageStore` on PostgreSQL."""

    @override
    async def measure_engine(self) -> Sequence[StorageArea]:
        rows = await self._list_thread.run(lambda: self._lists.rows("measure_tables"))
        tables = [StorageArea(*row) for row in rows]
        return [StorageArea("total", sum(table.bytes or 0 for table in tables)), *tables]
