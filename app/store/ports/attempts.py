"""Gives messages to workers and stores the outcomes."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from ...models.attempts import Claim, Lease, Outcome

NO_VERSIONS: Mapping[str, str] = MappingProxyType({})
"""The versions of a worker that names none."""


class AttemptStore(Protocol):
    """Claims messages and ends their attempts."""

    async def claim(
        self,
        worker_id: str,
        agents: Sequence[str],
        limit: int,
        *,
        lease_seconds: float,
        versions: Mapping[str, str] = NO_VERSIONS,
    ) -> list[Claim]:
        """Claim up to `limit` ready messages of these agents, lowest rank first.

        `versions` has the worker's version of each agent, by the agent's name. A message that has an `agent_version`
        is claimed only for this version. A message without one gets the worker's, and keeps it until it ends, is
        requeued, or `UpkeepStore.move_versions` gives it another (tests/contract/test_versions.py).

        A claim adds 1 to the message's `attempt` and raises its fence. Only the first unfinished message of a thread is
        ever ready. Two claims never return the same attempt. The event `processing` is appended in the same
        transaction.

        Of a tenant with a limit of running messages, no more messages than this run at the same time, over all
        processes. The limit is `running` of its record, or that of the store. A claim holds back the messages that it
        finds above the limit. As soon as the tenant may run another, its first held message of each agent is ready
        again (tests/contract/test_running.py).
        """

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """End the attempt of a lease. Raises LeaseLost.

        `Completed`, `Failed` and `Cancelled` end the message with its terminal event and make the next message of its
        thread ready. `Retry` puts the message back as the head of its thread, ready again after its delay. `Released`
        does the same without counting the attempt. `Retry` and `Released` append a `retry` event. `Interrupted` leaves
        the message as the head of its thread until `resume`, or until the question expires. It appends `interrupted`
        and deletes the answer to an earlier question. A cancelled message ends as cancelled, whatever the outcome.
        `Failed` and `Retry` list the attempt as failed. Repeating a finish that ended the message changes nothing.
        """
