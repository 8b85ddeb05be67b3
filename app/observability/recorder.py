"""Takes what happens in the process, to be counted as metrics. This class counts nothing: metrics are off."""

from collections.abc import Callable, Sequence

from ..models.attempts import Claim, Outcome
from ..models.usage import ModelUsage


class Recorder:
    """Is told of events by the parts of the process. `app.observability.metrics` counts them."""

    def submitted(self, agent: str, priority: str) -> None:
        """Count an accepted message."""

    def requeued(self, count: int) -> None:
        """Count dead letters that were queued again."""

    def cancelled(self, agent: str) -> None:
        """Count a message that a cancel ended while no worker ran it."""

    def claimed(self, claim: Claim) -> None:
        """Record how long a message waited, if this is its first attempt."""

    def attempt_ended(self, agent: str, outcome: Outcome | None, seconds: float) -> None:
        """Count an attempt of `seconds`. `outcome` is None if the lease was lost or the outcome could not be stored."""

    def leases_expired(self, count: int) -> None:
        """Count messages that were taken back from lost workers."""

    def counters_repaired(self, count: int) -> None:
        """Count counters of the store that were wrong and are repaired."""

    def questions_expired(self, count: int) -> None:
        """Count messages that failed because no human answered."""

    def first_token(self, agent: str, seconds: float) -> None:
        """Record the time from the begin of an attempt to its first text."""

    def next_tokens(self, agent: str, seconds: float) -> None:
        """Record the time between two deliveries of text."""

    def used(self, usage: Sequence[ModelUsage]) -> None:
        """Count the tokens and the cost of model calls."""

    def events_written(self, count: int) -> None:
        """Count stored events."""

    def beaten(self, seconds: float) -> None:
        """Record a heartbeat that took this long. Safe to use from any thread."""

    def beat_failed(self) -> None:
        """Count a failed heartbeat. Safe to use from any thread."""

    def store_timer(self, verb: str) -> Callable[[float], None]:  # noqa: ARG002  nothing is recorded here
        """Return a function that records the seconds of a call of the store."""
        return lambda _: None

    def store_failed(self, verb: str, code: str) -> None:
        """Count a failed call of the store."""

    def websocket_opened(self) -> None:
        """Count an open WebSocket."""

    def websocket_closed(self) -> None:
        """Count a closed WebSocket."""
