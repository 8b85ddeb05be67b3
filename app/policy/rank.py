"""Computes ranks, the order in which messages are claimed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..models.sharing import FairShare

LEVEL = 10**15
"""Number of ranks in a level of strict priority. The database counts the waiting messages of each level."""

TURN_LENGTH = 1_000
"""Distance between the ranks of two messages of the same flow, if its tenant has the weight 1."""


class Flow(NamedTuple):
    """Messages that share turns: those of a tenant, or of one subject of it, in one level of priority.

    `name` is the subject if each subject has turns of its own, else empty.
    """

    tenant: str
    name: str
    level: int


@dataclass(frozen=True, slots=True)
class RankPolicy:
    """Computes ranks from priority, fair share and time. The lowest rank is claimed first.

    If `aging_seconds` is 0, priority is strict: a higher priority always goes first. Otherwise each step from one
    priority to the next is worth `aging_seconds` of waiting, so no message waits for ever. Then there are no shares.
    """

    aging_seconds: float = 0
    fair_share: FairShare = FairShare.TENANT

    @property
    def strict(self) -> bool:
        """Return whether a higher priority always goes first."""
        return self.aging_seconds == 0

    @property
    def shares(self) -> bool:
        """Return whether the messages of a level take turns by flow. Otherwise they go by time."""
        return self.strict and self.fair_share is not FairShare.NONE

    def rank(self, level: int, accepted_at: int) -> int:
        """Return the rank by time. `level` is its `Priority.level`; `accepted_at` is in ms since the epoch.

        In strict priority, the rank at time 0 is the first of the level.
        """
        if self.strict:
            return level * LEVEL + accepted_at
        return accepted_at + int(level * self.aging_seconds * 1000)

    def flow(self, tenant: str, subject: str | None, level: int) -> Flow:
        """Return the flow of a message."""
        return Flow(tenant, (subject or "") if self.fair_share is FairShare.SUBJECT else "", level)


class Turn(NamedTuple):
    """The rank of the next message of a flow, and the distance to the rank of the message after it."""

    rank: int
    length: int


@dataclass(slots=True)
class Turns:
    """Gives the messages of one transaction their ranks.

    `find` returns the next turn of a flow, as the database knows it. It is called once for each flow.
    """

    find: Callable[[Flow], Turn]
    next_turns: dict[Flow, Turn] = field(default_factory=dict)

    def take(self, flow: Flow) -> int:
        """Return the rank of one more message of the flow."""
        turn = self.next_turns.get(flow) or self.find(flow)
        self.next_turns[flow] = Turn(turn.rank + turn.length, turn.length)
        return turn.rank

    def forget(self) -> None:
        """Ask the database again, since messages were cancelled."""
        self.next_turns.clear()
