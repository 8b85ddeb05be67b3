"""Reads about workers that both SQL stores share."""

from ...clock import to_datetime
from ...models.agents import AgentDescription
from ...models.workers import Worker, WorkerState
from ...policy.versions import AgentVersion, SeenVersion
from ..rows import agents_of, load_of
from ..versions import KnownVersions
from .query_runner import QueryRunner


class WorkerReads(QueryRunner):
    """Reads of workers, agents and their versions, inside a transaction."""

    def agents(self) -> list[AgentDescription]:
        """Implement `WorkerStore.list_agents`."""
        return [AgentDescription.model_validate_json(text) for (text,) in self.each("list_agents")]

    def known_versions(self) -> KnownVersions:
        """Return the versions that are remembered, and those for which ready messages wait."""
        return KnownVersions(
            [SeenVersion(*row) for row in self.each("list_versions")],
            [AgentVersion(*row) for row in self.each("list_waiting_versions")],
        )

    def workers(self) -> list[Worker]:
        """Implement `WorkerStore.list_workers`."""
        return [
            Worker(
                id=name,
                host=host,
                pid=pid,
                slots=slots,
                started_at=to_datetime(start),
                last_beat=to_datetime(beat),
                clock_ahead_ms=ahead,
                state=WorkerState(state),
                agents=agents_of(agents),
                load=load_of(load),
            )
            for name, host, pid, slots, start, beat, ahead, state, agents, load in self.each("list_workers")
        ]
