"""Checks a server process from inside: what agents' code does to it, its heartbeats, its streams."""

from collections.abc import Sequence
from statistics import median

from ...models.diagnosis import Finding, FindingCode
from .findings import counted, error, warning
from .sources import Sources

FEW_CUT = 5
"""Number of streams that may break off without being told."""

LEAST_CUT_SECONDS = 3.0
"""Shortest timeout on the way that is looked for. People leave sooner, all after about the same time."""

ALIKE, MOST = 0.03, 0.8
"""Connections count as closed after the same time within this share of it. This share of all makes a timeout."""

SIGTERM = "pkill -TERM -f 'agentq serve|app.main'  # then start the server again"


async def hung_threads(sources: Sources) -> Sequence[Finding]:
    """Find runs and threads of ended messages that do not stop. At MAX_ABANDONED of them, the worker claims no more."""
    state = sources.process
    if state is None or not state.abandoned:
        return []
    detail = f"{counted(state.abandoned, 'run or thread')} of ended messages still there. The log names their lines."
    if state.abandoned >= sources.settings.max_abandoned:
        return [error(FindingCode.HUNG_THREADS, f"{detail} The worker claims no more messages.", SIGTERM)]
    detail += f" At MAX_ABANDONED, {sources.settings.max_abandoned}, the worker claims no more messages."
    return [warning(FindingCode.HUNG_THREADS, detail, SIGTERM)]


async def loop_blocked(sources: Sources) -> Sequence[Finding]:
    """Find an agent whose code blocks the event loop of all agents."""
    state = sources.process
    if state is None or not state.blocked:
        return []
    detail = f"{state.blocked}. The log names the line. Synchronous code belongs into a synchronous node."
    return [error(FindingCode.LOOP_BLOCKED, f"{detail[:1].upper()}{detail[1:]}", SIGTERM)]


async def heartbeat_lost(sources: Sources) -> Sequence[Finding]:
    """Find a worker whose heartbeats do not get through to the database."""
    state = sources.process
    if state is None or state.beating:
        return []
    detail = "The worker of this process runs no messages until its heartbeats get through to the database again."
    return [error(FindingCode.HEARTBEAT_LOST, detail, "agentq doctor  # on the host of the database too")]


async def memory_unusable(sources: Sources) -> Sequence[Finding]:
    """Find that the agents' memory cannot be read or written."""
    state = sources.process
    if state is None or not state.memory_problem:
        return []
    cure = "ls -l data/  # the file of CHECKPOINT_URL: restore it from a backup, or move it away"
    return [error(FindingCode.MEMORY_UNUSABLE, state.memory_problem, cure)]


async def streams_cut(sources: Sources) -> Sequence[Finding]:
    """Find that this server cuts streams, or that something on the way does.

    Readers leave when they like. A timeout on the way shows by many connections that were closed after the same time.
    """
    state = sources.process
    if state is None:
        return []
    cut = state.slow_streams + state.failed_streams
    if cut >= max(FEW_CUT, state.whole_streams):
        detail = (
            f"{cut} of {cut + state.whole_streams} streams of the last ten minutes broke off: {state.failed_streams} "
            f"by errors of this server, and {state.slow_streams} since their readers took nothing for too long."
        )
        return [warning(FindingCode.STREAMS_CUT, detail, "agentq doctor  # look at the findings about the database")]
    if (seconds := cut_after(state.left_streams)) is None:
        return []
    interval = sources.settings.keepalive_seconds
    detail = (
        f"{len(state.left_streams)} streams of the last ten minutes were closed from outside before their end, most of "
        f"them after about {seconds:.0f} s. A timeout on the way may cut them; {interval:g} s pass between two "
        "keep-alives."
    )
    return [warning(FindingCode.STREAMS_CUT, detail, f"KEEPALIVE_INTERVAL={max(1, int(interval / 3))} agentq serve")]


def cut_after(left: Sequence[float]) -> float | None:
    """Return the time in seconds after which most of these connections were closed, None if there is no such time."""
    if len(left) < FEW_CUT or (middle := median(left)) < LEAST_CUT_SECONDS:
        return None
    alike = sum(abs(seconds - middle) <= max(1.0, middle * ALIKE) for seconds in left)
    return middle if alike >= max(FEW_CUT, len(left) * MOST) else None
