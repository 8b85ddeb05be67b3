"""Reads what shows faults: messages of all tenants, connections, transactions, the disk, the WAL."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from ...models.diagnosis import EngineReading, Resource, SampledMessage
from ..ports import DiagnosisStore
from ..sql.diagnosis import read_samples
from ..sql.rooms import SqlRooms
from .queries import PostgresReads

LARGE_WAL_BYTES = 1024**3
"""Bytes of WAL that a replication slot may keep."""

LONG_TRANSACTION_SECONDS = 600.0


class PostgresDiagnosis(SqlRooms, DiagnosisStore):
    """Implements `DiagnosisStore` on PostgreSQL."""

    _lists: PostgresReads

    @override
    async def sample_messages(self, *, limit: int) -> list[SampledMessage]:
        return await self._list_thread.run(lambda: read_samples(self._lists, limit))

    @override
    async def read_engine(self) -> Sequence[EngineReading]:
        return await self._list_thread.run(lambda: list(_readings(self._lists)))


def _readings(reads: PostgresReads) -> Iterator[EngineReading]:
    connections, directories, slots, archives, transactions = reads.rows_of_each(
        [
            (query, {})
            for query in ("count_connections", "data_directory", "list_slots", "failing_archive", "oldest_transaction")
        ]
    )
    for used, limit in connections:
        cure = _psql(f"ALTER SYSTEM SET max_connections = {2 * limit}") + "  # then restart PostgreSQL"
        yield EngineReading(Resource.CONNECTIONS, "PostgreSQL", used, limit, cure)
    for (directory,) in directories:
        yield from _disk_of(Path(directory))
    for name, kept in slots:
        cure = _psql(f"SELECT pg_drop_replication_slot('{name}')") + "  # if its replica is gone for good"
        yield EngineReading(
            Resource.LOG, f"the WAL that the replication slot {name} keeps", kept, LARGE_WAL_BYTES, cure
        )
    for (file,) in archives:
        yield EngineReading(
            Resource.LOG,
            "the WAL that waits to be archived",
            0,
            LARGE_WAL_BYTES,
            _psql("SELECT * FROM pg_stat_archiver"),
            fault=f"archive_command failed for {file}",
        )
    for pid, seconds in transactions:
        cure = _psql(f"SELECT pg_terminate_backend({pid})")
        yield EngineReading(
            Resource.TRANSACTION, f"the process {pid} of PostgreSQL", seconds, LONG_TRANSACTION_SECONDS, cure
        )


def _psql(statement: str) -> str:
    return f'psql "$DATABASE_URL" -c "{statement}"'


def _disk_of(directory: Path) -> Iterator[EngineReading]:
    """Yield the disk of the server's data, if the server is on this host and this process may look at the folder.

    A folder of this name may also belong to another server: that of a container has a file system of its own.
    """
    with suppress(OSError):
        if (directory / "postmaster.pid").exists():
            disk = shutil.disk_usage(directory)
            used = disk.total - disk.free
            yield EngineReading(Resource.SPACE, f"the disk of {directory}", used, disk.total, f"df -h {directory}")
