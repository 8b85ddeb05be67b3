"""The log of changes."""

from typing import Protocol

from ...models.transitions import TransitionPage


class TransitionLog(Protocol):
    """Reads the changes of messages, threads, workers, agents and the queue (tests/contract/test_transitions.py).

    Each change is recorded in its transaction. `StatisticsStore.fold_figures` deletes old records. A change that moves
    the queue hints MOVED, others hint CHANGED. The store gets no hint of workers that start or leave.
    """

    async def read_transitions(self, tenant: str | None, *, after: str | None, limit: int) -> TransitionPage:
        """Return up to `limit` changes behind the cursor `after`, in the order of their commits.

        Returns those of a tenant and of the whole server, with `tenant` None those of all tenants. `after` None begins
        with the oldest change that is kept. A later read finds no change before a cursor that was returned earlier. Any
        text is accepted as a cursor; what is no cursor of this log misses changes.
        """

    async def newest_transition(self) -> str:
        """Return the cursor of the newest change. Later changes are behind it."""
