"""Decides which version of an agent goes on with messages whose version has no live worker any more."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from ..models.workers import AgentState, Worker

ANY_VERSION = ""
"""The version of a message that a worker with any version may claim, and of an agent whose worker names none."""


class AgentVersion(NamedTuple):
    """A version of an agent."""

    agent: str
    version: str


class SeenVersion(NamedTuple):
    """A version that live workers have or had: the start of its first worker, and when it was last seen, in ms."""

    agent: str
    version: str
    first_seen: int
    last_seen: int


class VersionMove(NamedTuple):
    """Waiting messages of an agent go on with version `after` instead of `before`."""

    agent: str
    before: str
    after: str


def live_versions(workers: Iterable[Worker]) -> dict[AgentVersion, datetime]:
    """Return the versions that live workers have, each with the start of its first worker.

    A version that a worker could not load does not count. A version that it is loading does.
    """
    found: dict[AgentVersion, datetime] = {}
    for worker in workers:
        for served in worker.agents or ():
            if served.state is not AgentState.FAILED:
                version = AgentVersion(served.name, served.version or ANY_VERSION)
                found[version] = min(found.get(version, worker.started_at), worker.started_at)
    return found


def version_moves(
    waiting: Iterable[AgentVersion],
    seen: Collection[SeenVersion],
    live: Mapping[AgentVersion, datetime],
    unseen_since: int,
) -> list[VersionMove]:
    """Return the moves of messages whose version was last seen at `unseen_since` (ms) or before.

    They move to the newest live version of their agent: the version that was first seen last. Messages stay as they are
    while no live worker has their agent.
    """
    times = {AgentVersion(each.agent, each.version): each for each in seen}
    moves = []
    for gone in waiting:
        left = [each for each in live if each.agent == gone.agent]
        if gone in live or not left or gone not in times or times[gone].last_seen > unseen_since:
            continue
        newest = max(left, key=lambda each: (times[each].first_seen if each in times else -1, each.version))
        moves.append(VersionMove(gone.agent, gone.version, newest.version))
    return moves
