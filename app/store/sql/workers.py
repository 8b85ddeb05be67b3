"""Lists workers, and keeps the descriptions of their agents: the part that both SQL stores share."""

from collections.abc import Sequence

from typing_extensions import override

from ...models.agents import AgentDescription
from ...models.workers import Worker
from ..ports import WorkerStore
from .rooms import SqlRooms


class SqlWorkers(SqlRooms, WorkerStore):
    """Implements `WorkerStore` for both SQL stores, except the lease renewer."""

    @override
    async def list_workers(self) -> list[Worker]:
        return await self._read_thread.run(self._reads.workers)

    @override
    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        await self._upkeep_thread.run(lambda: self._upkeep.describe_agents(descriptions))

    @override
    async def list_agents(self) -> list[AgentDescription]:
        return await self._read_thread.run(self._reads.agents)
