"""Checks why messages stay queued."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ...models.diagnosis import Finding, FindingCode, SampledMessage
from ...models.messages import MessageState, Readiness
from ...models.workers import AgentState, Worker, WorkerState
from .findings import counted, curl, error, example, note, warning
from .sources import Sources

LOADING_SECONDS = 120.0
"""How long agents may take to load."""

LONG_WAIT_SECONDS = 60.0
NEARLY_FULL = 0.8
"""Share of MAX_QUEUE_SIZE from which on the queue counts as nearly full."""

LONG_THREAD = 10
"""Number of messages of one thread that wait behind each other, from which on it is told."""


async def no_worker(sources: Sources) -> Sequence[Finding]:
    """Find that no process runs messages."""
    if await sources.workers():
        return []
    figures = await sources.figures()
    waiting = sum(figures.waiting.values())
    if waiting:
        detail = f"{counted(waiting, 'message')} waiting, and no live worker. WORKER_CONCURRENCY=0 starts none."
        return [error(FindingCode.NO_WORKER, detail, "agentq worker")]
    return [note(FindingCode.NO_WORKER, "No message waits, and there is no live worker.", "agentq worker")]


async def workers_drained(sources: Sources) -> Sequence[Finding]:
    """Find workers that an operator has drained. It is an error if messages wait and all workers are drained."""
    workers = await sources.workers()
    drained = [each for each in workers if each.state is not WorkerState.ACTIVE]
    if not drained:
        return []
    cure = f"agentq workers resume {drained[0].id}  # or end its process"
    if len(drained) < len(workers):
        detail = f"{counted(len(drained), 'worker')} of {len(workers)} drained: they take no messages until resumed."
        return [note(FindingCode.WORKERS_DRAINED, detail, cure)]
    waiting = sum((await sources.figures()).waiting.values())
    who = "The only worker is" if len(workers) == 1 else f"All {len(workers)} workers are"
    detail = f"{who} drained, and {counted(waiting, 'message')} waiting." if waiting else f"{who} drained."
    return [(error if waiting else warning)(FindingCode.WORKERS_DRAINED, detail, cure)]


async def worker_lost(sources: Sources) -> Sequence[Finding]:
    """Find messages that are held by a worker that is gone, and workers without recent heartbeats."""
    workers = await sources.workers()
    live = {each.id for each in workers}
    sample = await sources.sample()
    held = [each for each in sample if each.state is MessageState.PROCESSING and each.worker_id not in live]
    lease = sources.settings.lease_seconds
    found = []
    if held:
        detail = (
            f"{counted(len(held), 'message')} held by a worker that is gone{example(held, sources.tenant)}. "
            f"Another worker takes them when their leases end, after {lease:g} s at most."
        )
        found.append(warning(FindingCode.WORKER_LOST, detail, "agentq worker"))
    silent = [each for each in workers if (sources.now() - each.last_beat).total_seconds() > lease / 2]
    for worker in silent:
        seconds = (sources.now() - worker.last_beat).total_seconds()
        detail = f"The worker {worker.id} has sent no heartbeat for {seconds:.0f} s."
        found.append(warning(FindingCode.WORKER_LOST, detail, f"ps -fp {worker.pid}  # on {worker.host}"))
    return found


async def workers_busy(sources: Sources) -> Sequence[Finding]:
    """Find that messages wait for long because all slots are in use."""
    throughput = await sources.throughput()
    if not 0 < throughput.slots <= throughput.running:
        return []
    oldest = max((await sources.figures()).oldest_seconds.values(), default=0.0)
    if oldest < LONG_WAIT_SECONDS:
        return []
    detail = (
        f"All {counted(throughput.slots, 'slot')} in use; the first message in the claim order has waited for "
        f"{oldest:.0f} s."
    )
    cure = f"WORKER_CONCURRENCY={2 * max(1, sources.settings.worker_concurrency)} agentq worker"
    return [warning(FindingCode.WORKERS_BUSY, detail, cure)]


async def agents(sources: Sources) -> Sequence[Finding]:
    """Find agents that workers could not load, or have been loading for long, and workers that cannot run any."""
    return [each for worker in await sources.workers() for each in _of_worker(worker, sources)]


def _of_worker(worker: Worker, sources: Sources) -> Iterator[Finding]:
    restart = f"kill -TERM {worker.pid}  # on {worker.host}; then start the worker again"
    stuck = [each for each in worker.agents or () if each.state is AgentState.STUCK]
    if stuck:
        yield error(FindingCode.HUNG_THREADS, f"Worker {worker.id}: {stuck[0].error}", restart)
    for agent in worker.agents or ():
        if agent.state is AgentState.FAILED:
            detail = f"Agent {agent.name!r} on worker {worker.id}: {agent.error}"
            yield error(FindingCode.AGENT_FAILED, detail, f"{restart}, when its cause is corrected")
        age = (sources.now() - worker.started_at).total_seconds()
        if agent.state is AgentState.LOADING and age > LOADING_SECONDS:
            detail = f"Agent {agent.name!r} on worker {worker.id} has been loading for {age:.0f} s. {agent.error or ''}"
            yield warning(FindingCode.AGENT_LOADING, detail.rstrip(), restart)


async def agent_missing(sources: Sources) -> Sequence[Finding]:
    """Find waiting messages whose agent no live worker has. It says nothing while there is no worker at all."""
    workers = await sources.workers()
    if not workers or any(worker.agents is None for worker in workers):
        return []
    served = {agent.name for worker in workers for agent in worker.agents or ()}
    lacking: dict[str, list[SampledMessage]] = {}
    for message in await sources.sample():
        if message.state is MessageState.QUEUED and message.agent not in served:
            lacking.setdefault(message.agent, []).append(message)
    return [
        error(
            FindingCode.AGENT_MISSING,
            f"{counted(len(messages), 'message')} for the agent {agent!r}{example(messages, sources.tenant)}. Live "
            f"workers have: {', '.join(sorted(served))}.",
            f"AGENTS={agent}=module:attribute agentq worker  # or name it in the langgraph.json of a worker",
        )
        for agent, messages in lacking.items()
    ]


async def queue_paused(sources: Sources) -> Sequence[Finding]:
    """Find that an operator has paused the queue."""
    if not (await sources.throughput()).paused:
        return []
    cure = curl(url_of(sources), "POST /queue/resume")
    return [warning(FindingCode.QUEUE_PAUSED, "No message begins until it is resumed.", cure)]


async def queue_full(sources: Sources) -> Sequence[Finding]:
    """Find that the queue is at its limit, or near it."""
    figures = await sources.figures()
    queued, limit = sum(figures.waiting.values()) + figures.delayed, sources.settings.max_queue_size
    if queued < NEARLY_FULL * limit:
        return []
    detail = f"{counted(queued, 'message')} queued; MAX_QUEUE_SIZE is {limit:,}. "
    cure = f"MAX_QUEUE_SIZE={10 * limit} agentq serve"
    if queued < limit:
        return [warning(FindingCode.QUEUE_FULL, f"{detail}Above it, submits are refused.", cure)]
    return [error(FindingCode.QUEUE_FULL, f"{detail}Submits are refused with queue_full.", cure)]


async def thread_waits(sources: Sources) -> Sequence[Finding]:
    """Find threads with many messages that wait behind each other."""
    blocked = [each for each in await sources.sample() if each.readiness is Readiness.BLOCKED]
    threads = Counter((each.tenant, each.thread_id) for each in blocked)
    long = {thread: count for thread, count in threads.items() if count >= LONG_THREAD}
    if not long:
        return []
    behind = [each for each in blocked if (each.tenant, each.thread_id) in long]
    detail = (
        f"{counted(len(long), 'thread')} with {LONG_THREAD} waiting messages or more{example(behind, sources.tenant)}. "
        "The messages of one thread run one after the other."
    )
    return [note(FindingCode.THREAD_WAITS, detail, curl(url_of(sources), "GET /queue"))]


async def tenant_waits(sources: Sources) -> Sequence[Finding]:
    """Find messages that wait since their tenants run as many as they may."""
    held = [each for each in await sources.sample() if each.readiness is Readiness.HELD]
    if not held:
        return []
    detail = f"{counted(len(held), 'message')}{example(held, sources.tenant)}. Other tenants have the workers."
    return [note(FindingCode.TENANT_WAITS, detail, "agentq tenants list  # shows the limit `running` of each tenant")]


def url_of(sources: Sources) -> str:
    """Return the address at which this host reaches the server."""
    return f"http://localhost:{sources.settings.port}"
