"""Measures what is stored. The file and its WAL are what the database uses up."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from ...models.storage import StorageArea
from ..sql.storage import SqlStorage
from .connection import mapped_errors


class SqliteStorage(SqlStorage):
    """Implements `StorageStore` on SQLite."""

    _path: Path

    @override
    async def measure_engine(self) -> Sequence[StorageArea]:
        return await self._list_thread.run(self._areas)

    def _areas(self) -> Sequence[StorageArea]:
        areas = file_areas(self._path.resolve())
        return [*areas, StorageArea("unused", int(self._lists.value("unused_bytes")))]


def file_areas(path: Path) -> list[StorageArea]:
    """Return the sizes of a database file and of its WAL. Raises StoreError."""
    with mapped_errors():
        sizes = {
            name: each.stat().st_size if each.exists() else 0
            for name, each in (("file", path), ("wal", Path(f"{path}-wal")))
        }
    return [StorageArea("total", sum(sizes.values())), *(StorageArea(*each) for each in sizes.items())]
