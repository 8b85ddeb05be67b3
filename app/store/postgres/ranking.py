"""Gives messages their ranks."""

from collections.abc import Iterable

from ...clock import Clock
from ...policy.rank import TURN_LENGTH, Flow, RankPolicy, Turn, Turns
from .changes import Changes
from .session import Session, Step, step


class Ranking(Changes):
    """The base class of writers that put messages into the queue."""

    def __init__(self, session: Session, clock: Clock, ranks: RankPolicy) -> None:
        super().__init__(session, clock)
        self.ranks = ranks

    def turns(self, flows: Iterable[Flow], now: int) -> Turns:
        """Return what gives messages of these flows their ranks.

        Locks the flows until the end of the transaction. Threads and messages must be locked before: this order rules
        out a deadlock.
        """
        wanted = list(dict.fromkeys(flows))
        firsts = [self.ranks.rank(flow.level, 0) for flow in wanted]
        turns: dict[Flow, Turn] = {}
        if wanted and self.ranks.shares:
            next_ranks = step(
                "next_ranks",
                tenants=[flow.tenant for flow in wanted],
                flows=[flow.name for flow in wanted],
                firsts=firsts,
                length=TURN_LENGTH,
            )
            _, rows = self.session.run_all(self._lock_flows(wanted), next_ranks)
            turns = {flow: Turn(*row) for flow, row in zip(wanted, rows, strict=True)}
        elif wanted:
            found = [self.ranks.rank(flow.level, now) for flow in wanted]
            if self.ranks.strict:  # messages that took turns, before the setting was changed, may have later ranks
                rows = self.rows("last_ranks", firsts=firsts)
                found = [max(rank, last or 0) for rank, (last,) in zip(found, rows, strict=True)]
            turns = {flow: Turn(rank, 0) for flow, rank in zip(wanted, found, strict=True)}
        return Turns(turns.__getitem__, dict(turns))

    def lock_flows(self, flows: Iterable[Flow]) -> None:
        """Lock all flows of a transaction that asks for turns several times."""
        if self.ranks.shares and (wanted := list(flows)):
            self.session.run_all(self._lock_flows(wanted))

    def _lock_flows(self, flows: list[Flow]) -> Step:
        return step(
            "lock_flows",
            tenants=[flow.tenant for flow in flows],
            flows=[flow.name for flow in flows],
            firsts=[self.ranks.rank(flow.level, 0) for flow in flows],
        )
