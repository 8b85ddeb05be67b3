"""Moves waiting messages from a version of their agent that no live worker has to the newest version."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ..models.workers import Worker
from ..policy.versions import ANY_VERSION, AgentVersion, SeenVersion, VersionMove, live_versions, version_moves
from .parts import repeat

VERSIONS_AT_ONCE = 100
"""Maximum number of messages that get another version in one transaction."""

SEEN_AGAIN_MS = 1_000
"""Minimum time between two notes that a version was seen, so that many processes write few of them."""

VERSION_KEPT_MS = 30 * 86_400_000
"""How long a version is remembered after it was last seen."""


class ClaimedList(NamedTuple):
    """The ready messages of an agent that wait for version `wanted`. A claim gives them the worker's version `own`."""

    agent: str
    wanted: str
    own: str


def claimed_lists(agents: Sequence[str], versions: Mapping[str, str]) -> list[ClaimedList]:
    """Return the lists that a claim for these agents takes messages from, each agent once, by name."""
    found = []
    for agent in sorted(set(agents)):
        own = versions.get(agent, ANY_VERSION)
        found.append(ClaimedList(agent, ANY_VERSION, own))
        if own != ANY_VERSION:
            found.append(ClaimedList(agent, own, own))
    return found


class KnownVersions(NamedTuple):
    """The versions that the store remembers, and the versions for which ready messages wait."""

    seen: list[SeenVersion]
    waiting: list[AgentVersion]


class VersionSteps(NamedTuple):
    """The steps of an engine: read what is known, remember versions, and move up to VERSIONS_AT_ONCE messages."""

    known: Callable[[], Awaitable[KnownVersions]]
    see: Callable[[Sequence[SeenVersion]], Awaitable[None]]
    move: Callable[[VersionMove], Awaitable[int]]


async def move_all(workers: Sequence[Worker], steps: VersionSteps, *, now: int, wait_seconds: float) -> int:
    """Implement `UpkeepStore.move_versions` with the steps of an engine, at the time `now` in ms."""
    live = live_versions(workers)
    known = await steps.known()
    remembered = {AgentVersion(each.agent, each.version): each for each in known.seen}
    new = [
        SeenVersion(*each, round(started_at.timestamp() * 1000), now)
        for each, started_at in live.items()
        if each.version != ANY_VERSION and (each not in remembered or remembered[each].last_seen < now - SEEN_AGAIN_MS)
    ]
    # Nobody has seen these: their worker was too short-lived, or it was long ago. The wait begins now.
    new += [SeenVersion(*each, now, now) for each in known.waiting if each not in remembered and each not in live]
    if new:
        await steps.see(new)
    moved = 0
    for move in version_moves(known.waiting, [*new, *known.seen], live, now - int(wait_seconds * 1000)):
        moved += await repeat(partial(steps.move, move), VERSIONS_AT_ONCE)
    return moved
