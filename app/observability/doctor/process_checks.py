"""Checks a server process from inside: what agents' code does to it, its heartbeats, its streams."""

from collections.abc import Sequence
from statistics import median

from ...models.diagnosis import Finding, FindingCode
from .findings import counted, error, warning
from .sources import Sources

FEW_CUT = 5
"""Number of readers that may leave early without being told."""

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
    """Find that most readers leave their streams early, as when a proxy cuts them."""
    state = sources.process
    if state is None or len(state.cut_streams) < max(FEW_CUT, state.whole_streams):
        return []
    detail = (
        f"{len(state.cut_streams)} of {len(state.cut_streams) + state.whole_streams} streams of the last ten minutes "
        f"ended before their message, half of them after {median(state.cut_streams):.0f} s or sooner. A timeout or a "
        f"buffer on the way may cut them; {sources.settings.keepalive_seconds:g} s pass between two keep-alives."
    )
    interval = max(1, int(sources.settings.keepalive_seconds / 3))
    return [warning(FindingCode.STREAMS_CUT, detail, f"KEEPALIVE_INTERVAL={interval} agentq serve")]
