"""Decides which of the first messages of a queue may run, if their tenants have limits of running messages.

The script `lua/claim.lua` does the same.
"""

from collections.abc import Iterable, MutableMapping
from typing import NamedTuple


class Candidate(NamedTuple):
    """A ready message that a claim has found. `own` is the worker's version of the agent."""

    rank: int
    number: int
    tenant: str
    own: str | None


class Admitted(NamedTuple):
    """The candidates that may run, and those whose tenants run as many messages as they may, each in order."""

    taken: list[Candidate]
    over: list[Candidate]


def admitted(candidates: Iterable[Candidate], room: MutableMapping[str, int], limit: int) -> Admitted:
    """Return up to `limit` candidates that may run, and the candidates before and directly behind them that may not.

    The next claims would meet those behind them one by one. The candidates are in the order of claims. `room` has the
    number of further messages that a tenant may run, and is counted down. A tenant that is not in it has no limit.
    """
    found = Admitted([], [])
    for each in candidates:
        left = room.get(each.tenant)
        if left is not None and left <= 0:
            found.over.append(each)
            continue
        if len(found.taken) == limit:
            break
        if left is not None:
            room[each.tenant] = left - 1
        found.taken.append(each)
    return found
