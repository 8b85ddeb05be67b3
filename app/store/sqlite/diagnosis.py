"""Reads what shows faults: messages of all tenants, the disk, the WAL."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from ...models.diagnosis import EngineReading, Resource, SampledMessage
from ..ports import DiagnosisStore
from ..sql.diagnosis import read_samples
from ..sql.rooms import SqlRooms
from .connection import WAL_SIZE_LIMIT_BYTES, mapped_errors

LARGE_WAL_BYTES = 4 * WAL_SIZE_LIMIT_BYTES
"""Size of a WAL that a checkpoint would have shortened, unless a reader keeps it."""


class SqliteDiagnosis(SqlRooms, DiagnosisStore):
    """Implements `DiagnosisStore` on SQLite."""

    _path: Path

    @override
    async def sample_messages(self, *, limit: int) -> list[SampledMessage]:
        return await self._list_thread.run(lambda: read_samples(self._lists, limit))

    @override
    async def read_engine(self) -> Sequence[EngineReading]:
        return await self._list_thread.run(self._read_files)

    def _read_files(self) -> Sequence[EngineReading]:
        path = self._path.resolve()
        wal = Path(f"{path}-wal")
        with mapped_errors():
            disk = shutil.disk_usage(path.parent)
            wal_bytes = wal.stat().st_size if wal.exists() else 0
        folder, file = shlex.quote(str(path.parent)), shlex.quote(str(path))
        return (
            EngineReading(
                Resource.SPACE,
                f"the disk of {path.parent}",
                disk.total - disk.free,
                disk.total,
                f"df -h {folder} && du -sh {folder}/*",
            ),
            EngineReading(Resource.LOG, f"the WAL {wal}", wal_bytes, LARGE_WAL_BYTES, f"lsof {file}"),
        )
