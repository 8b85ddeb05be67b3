"""Reads what shows faults: messages of all tenants, memory, connections, the append-only file."""

from collections.abc import Iterator, Mapping, Sequence

from typing_extensions import override

from ...models.diagnosis import EngineReading, Resource, SampledMessage
from ..ports import DiagnosisStore
from ..samples import to_sampled_message
from .connection import facts_of
from .rooms import RedisRooms

CLI = 'redis-cli -u "$DATABASE_URL"'

LARGE_FILE_BYTES = 1024**3
"""Size of an append-only file up to which its growth does not matter."""

LARGE_GROWTH = 8
"""How many times the size after its last rewrite an append-only file may reach. The server rewrites it at twice."""


class RedisDiagnosis(RedisRooms, DiagnosisStore):
    """Implements `DiagnosisStore` on Redis."""

    @override
    async def sample_messages(self, *, limit: int) -> list[SampledMessage]:
        found = await self._reads.run("sample_messages", limit)
        return [to_sampled_message([None if column == "" else column for column in row]) for row in found]

    @override
    async def read_engine(self) -> Sequence[EngineReading]:
        return list(_readings(facts_of(await self._reads.run("read_engine"))))


def _readings(facts: Mapping[str, str]) -> Iterator[EngineReading]:
    """Yield what the server says of itself. Yield less if it says less: the user may not be allowed INFO."""

    def number(name: str) -> int:
        return int(facts.get(name, "0"))

    if maximum := number("maxmemory"):
        cure = f"{CLI} CONFIG SET maxmemory {2 * maximum}"
        yield EngineReading(Resource.SPACE, "the memory of Redis (maxmemory)", number("used_memory"), maximum, cure)
    elif total := number("total_system_memory"):
        cure = f"{CLI} MEMORY STATS"
        yield EngineReading(Resource.SPACE, "the memory of the host of Redis", number("used_memory"), total, cure)
    if limit := number("maxclients"):
        cure = f"{CLI} CONFIG SET maxclients {2 * limit}"
        yield EngineReading(Resource.CONNECTIONS, "Redis", number("connected_clients"), limit, cure)
    if facts.get("aof_enabled") == "1":
        size, base = number("aof_current_size"), number("aof_base_size")
        fault = next(
            (
                f"{name} is {state}"
                for name in ("aof_last_write_status", "aof_last_bgrewrite_status")
                if (state := facts.get(name, "ok")) != "ok"
            ),
            "",
        )
        most = max(LARGE_FILE_BYTES, LARGE_GROWTH * base)
        cure = f"{CLI} BGREWRITEAOF && {CLI} INFO persistence"
        yield EngineReading(Resource.LOG, "the append-only file of Redis", size, most, cure, fault)
