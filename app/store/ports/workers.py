"""Workers, their leases, and their agents."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ...models.agents import AgentDescription
from ...models.attempts import Beat, Lease
from ...models.workers import Worker


class LeaseRenewer(Protocol):
    """Sends heartbeats over its own connection, from a thread that agent code cannot block."""

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Record a heartbeat of the worker and extend these leases, in one transaction.

        `worker.state` is what the worker knows. It counts for a new worker. A known worker becomes drained by it, if it
        was asked to drain, and changes its state by `ControlStore.drain_worker` alone otherwise.

        A lease that is missing in `Beat.held` is lost. A lease that ran out is not revived. If a lease of the worker is
        missing in `leases`, it runs out. No message is therefore held for a run that does not exist.
        """

    def stop(self, worker_id: str) -> None:
        """Remove the worker from the list of live workers."""


class WorkerStore(Protocol):
    """Lists the processes that claim messages, renews their leases, and keeps descriptions of their agents."""

    def open_lease_renewer(self) -> AbstractContextManager[LeaseRenewer]:
        """Return a lease renewer for the calling thread; leaving the context closes it."""

    async def list_workers(self) -> list[Worker]:
        """Return workers as of their last heartbeat, oldest first."""

    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        """Store descriptions and the time. Each replaces an earlier description with its name.

        The names must differ. Workers store the descriptions of their agents again and again, since `prune_agents`
        deletes old ones (tests/contract/test_agent_descriptions.py).
        """

    async def list_agents(self) -> list[AgentDescription]:
        """Return the newest description of each agent, in the order of the names."""
