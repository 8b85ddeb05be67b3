"""What the ports in `ports.py` hand out."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from ..models.attempts import Beat, Lease
from ..models.workers import Worker


class LeaseRenewer(Protocol):
    """Sends heartbeats over its own connection, from a thread that agent code cannot block."""

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Record a heartbeat of the worker and extend these leases, in one transaction.

        A lease that is missing in `Beat.held` is lost. A lease that ran out is not revived. A lease of the worker that
        is missing in `leases` runs out. No message is therefore held for a run that does not exist.
        """

    def stop(self, worker_id: str) -> None:
        """Remove the worker from the list of live workers."""


class Subscription(Protocol):
    """A subscription to hints on some topics. A hint may be lost, or come without a change in the store."""

    async def wait(self, timeout: float) -> bool:
        """Wait for a hint for up to `timeout` seconds. Return whether there was a hint since the last call."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """Run `call` at each hint from now on, instead of waking `wait`. `call` may not subscribe or unsubscribe."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The promises of a backend. No caller asks which backend it is."""

    name: str
    durable: bool
    promise: str
