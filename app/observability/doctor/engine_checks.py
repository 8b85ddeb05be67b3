"""Checks the database: whether it answers, keeps what it stores, and has room; and the clocks."""

from collections.abc import Sequence

from ...models.diagnosis import EngineReading, Finding, FindingCode, Resource, Severity
from .findings import error, finding, warning
from .sources import Sources

GIB = 1024**3
NEARLY_FULL, NEARLY_FULL_BYTES = 0.1, 10 * GIB
"""A disk or a memory is nearly full when both less than this share and less than these bytes are free."""

FULL, FULL_BYTES = 0.03, GIB
"""Likewise it is an error."""

FEW_CONNECTIONS = 0.1
"""Share of free connections below which the next process may get none."""

SKEW_SECONDS = 5.0
"""Difference of clocks from which on times in logs, tokens and signatures of webhooks are misleading."""


async def database_away(sources: Sources) -> Sequence[Finding]:
    """Find that the database does not answer. The other checks of the store then cannot be made."""
    await sources.ping()
    return []


async def store_volatile(sources: Sources) -> Sequence[Finding]:
    """Find that stored messages do not survive what a durable database survives."""
    if sources.durable:
        return []
    detail = "Messages may be lost when a process or the database ends: it is in memory, or may forget or evict them."
    return [warning(FindingCode.STORE_VOLATILE, detail, "DATABASE_URL=sqlite:///data/agent_queue.db agentq serve")]


async def engine_nearly_full(sources: Sources) -> Sequence[Finding]:
    """Find a disk or a memory with little room."""
    return [
        finding(
            FindingCode.ENGINE_NEARLY_FULL,
            severity,
            f"{_begun(each.subject)} has {size(each.limit - each.used)} free of {size(each.limit)}. When it is full, "
            "submits are refused.",
            each.cure,
        )
        for each in await _readings(sources, Resource.SPACE)
        if (severity := _lack_of(each)) is not None
    ]


def _lack_of(space: EngineReading) -> Severity | None:
    free = space.limit - space.used
    if free < FULL * space.limit and free < FULL_BYTES:
        return Severity.ERROR
    return Severity.WARNING if free < NEARLY_FULL * space.limit and free < NEARLY_FULL_BYTES else None


async def log_growing(sources: Sources) -> Sequence[Finding]:
    """Find a log that the engine cannot shorten: a WAL, what a replica has not fetched, an append-only file."""
    found = []
    for each in await _readings(sources, Resource.LOG):
        if each.fault:
            detail = f"{_begun(each.subject)} grows until the disk is full: {each.fault}."
            found.append(error(FindingCode.LOG_GROWING, detail, each.cure))
        elif each.used > each.limit:
            detail = f"{_begun(each.subject)} has {size(each.used)}, more than {size(each.limit)}."
            found.append(warning(FindingCode.LOG_GROWING, detail, each.cure))
    return found


async def long_transaction(sources: Sources) -> Sequence[Finding]:
    """Find a transaction that keeps the engine from cleaning up."""
    return [
        warning(
            FindingCode.LONG_TRANSACTION,
            f"{_begun(each.subject)} has had a transaction open for {each.used:.0f} s. Deleted rows stay until it "
            "ends, and claims get slower.",
            each.cure,
        )
        for each in await _readings(sources, Resource.TRANSACTION)
        if each.used > each.limit
    ]


async def few_connections(sources: Sources) -> Sequence[Finding]:
    """Find that a server has few connections left."""
    return [
        warning(
            FindingCode.FEW_CONNECTIONS,
            f"{_begun(each.subject)} has {each.limit - each.used:.0f} of {each.limit:.0f} connections left.",
            each.cure,
        )
        for each in await _readings(sources, Resource.CONNECTIONS)
        if each.limit - each.used < FEW_CONNECTIONS * each.limit
    ]


async def clock_skew(sources: Sources) -> Sequence[Finding]:
    """Find that the clock of this host or of a worker's host differs from the store's time.

    The store's time is that of the database server, or of this host, without its steps.
    """
    ahead = {"this host": (sources.wall_clock() - sources.now()).total_seconds()}
    for worker in await sources.workers():
        ahead.setdefault(f"the host {worker.host} of worker {worker.id}", worker.clock_ahead_ms / 1000)
    return [
        warning(
            FindingCode.CLOCK_SKEW,
            f"The clock of {host} is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} the database's.",
            "timedatectl set-ntp true && timedatectl status",
        )
        for host, seconds in ahead.items()
        if abs(seconds) > SKEW_SECONDS
    ]


async def _readings(sources: Sources, resource: Resource) -> list[EngineReading]:
    return [each for each in await sources.engine() if each.resource is resource]


def size(number: float) -> str:
    """Return bytes in a readable unit, such as `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _begun(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
