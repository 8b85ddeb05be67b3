"""Finds why a queued message waits, and estimates when it begins."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from ..models.messages import Message, MessageState, Readiness
from ..models.workers import AgentState, ServedAgent, Throughput
from ..text import rfc3339


class WaitingCode(StrEnum):
    """Why a message waits. Existing codes are stable; new ones may be added."""

    DELAYED = "delayed"
    PAUSED = "paused"
    NO_WORKER = "no_worker"
    WORKERS_DRAINED = "workers_drained"
    AGENT_UNAVAILABLE = "agent_unavailable"
    VERSION_UNAVAILABLE = "version_unavailable"
    THREAD_BUSY = "thread_busy"
    AHEAD_IN_QUEUE = "ahead_in_queue"
    FAIR_SHARE = "fair_share"
    TENANT_RUNNING = "tenant_running"
    SLOTS_BUSY = "slots_busy"
    STARTING_SOON = "starting_soon"


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """Why a queued message waits: a stable code and a sentence."""

    code: WaitingCode
    message: str


class WaitEstimate(NamedTuple):
    """The likely start of a message (None if unknown), and why it waits (None unless it is queued)."""

    estimated_start_at: datetime | None
    reason: WaitingReason | None


NOTHING = WaitEstimate(None, None)

PAUSED = WaitingReason(WaitingCode.PAUSED, "The queue is paused.")
DRAINED = WaitingReason(WaitingCode.WORKERS_DRAINED, "An operator has drained all workers.")
NO_WORKER = WaitingReason(WaitingCode.NO_WORKER, "No worker is running.")
BUSY = WaitingReason(WaitingCode.SLOTS_BUSY, "It is the next to be taken, and all workers are busy.")
NEXT = WaitingReason(WaitingCode.STARTING_SOON, "It is the next to be taken.")
BEHIND_ONE = WaitingReason(WaitingCode.AHEAD_IN_QUEUE, "1 message is ahead of it.")


def wait_estimate(
    message: Message, throughput: Throughput | None, head: Message | None, now: datetime, overtaking: int = 0
) -> WaitEstimate:
    """Return why a message waits, and when it is likely to begin.

    `head`, the head of the thread, is needed only for a blocked message. Without `throughput` and `head`, the reason
    uses only the message. `overtaking` is `ShareStore.count_overtaking`.
    """
    if message.state is not MessageState.QUEUED:
        return NOTHING
    stopped = None if throughput is None else _stopped(message, throughput)
    start = None if throughput is None or stopped is not None else _start(message, throughput, head, now)
    return WaitEstimate(start, _reason(message, throughput, head, stopped, overtaking))


def _reason(
    message: Message,
    throughput: Throughput | None,
    head: Message | None,
    stopped: WaitingReason | None,
    overtaking: int,
) -> WaitingReason | None:
    if message.readiness is Readiness.DELAYED and message.run_at is not None:
        return WaitingReason(WaitingCode.DELAYED, f"Not to be run before {rfc3339(message.run_at)}.")
    if stopped is not None:
        return stopped
    if message.readiness is Readiness.BLOCKED:
        return WaitingReason(WaitingCode.THREAD_BUSY, _in_the_way(message, head))
    if message.readiness is Readiness.HELD:
        text = f"Tenant {message.tenant!r} runs as many messages as it may at the same time."
        return WaitingReason(WaitingCode.TENANT_RUNNING, text)
    return _by_position(message, throughput, overtaking)


def _by_position(message: Message, throughput: Throughput | None, overtaking: int) -> WaitingReason | None:
    if message.queue_position is None:
        return None
    if overtaking > 0:
        return WaitingReason(WaitingCode.FAIR_SHARE, _had_its_share(message, overtaking))
    return _ahead(message.queue_position, None if throughput is None else _served(message, throughput))


def _all_stopped(throughput: Throughput) -> WaitingReason | None:
    """Return why no message begins; None if some begin."""
    if throughput.paused:
        return PAUSED
    if throughput.slots == 0:
        return DRAINED if throughput.draining else NO_WORKER
    return None


def _stopped(message: Message, throughput: Throughput) -> WaitingReason | None:
    """Return why no message for the agent and version of this one begins; None if such messages begin."""
    if (why := _all_stopped(throughput)) is not None:
        return why
    if not throughput.groups or any(group.agents is None for group in throughput.groups):
        return None  # a worker that does not list its agents may run any
    agent, version = message.agent, message.agent_version
    listed = [served for group in throughput.groups for served in group.agents or () if served.name == agent]
    own = [served for served in listed if served.version == version or version is None]
    if (unserved := _why_unserved(agent, own or listed)) is not None:
        return WaitingReason(WaitingCode.AGENT_UNAVAILABLE, unserved)
    if not own:
        waits = f"It waits for a worker with version {version!r} of agent {agent!r}, which began it."
        return WaitingReason(WaitingCode.VERSION_UNAVAILABLE, waits)
    return None


def _why_unserved(agent: str, listed: list[ServedAgent]) -> str | None:
    """Return why no live worker can run this agent; None if a worker can. `listed` has the agent as workers list it."""
    states = {served.state for served in listed}
    if AgentState.AVAILABLE in states:
        return None
    if AgentState.LOADING in states:
        obstacles = [served.error for served in listed if served.state is AgentState.LOADING]
        obstacle = obstacles[0] if all(obstacles) else None  # without an obstacle, a worker is loading the agent
        return f"Agent {agent!r} is still being loaded. {obstacle or ''}".rstrip()
    for served in listed:
        cannot = "cannot be run now" if served.state is AgentState.STUCK else "could not be loaded"
        return f"Agent {agent!r} {cannot}: {served.error}"
    return f"No live worker is configured to run agent {agent!r}."


def _served(message: Message, throughput: Throughput) -> Throughput:
    """Return the throughput of only those workers that can run this message: their slots and running messages."""
    agent, version = message.agent, message.agent_version
    serving = [
        group
        for group in throughput.groups
        if group.agents is None
        or any(
            served.name == agent and served.state is AgentState.AVAILABLE and version in (None, served.version)
            for served in group.agents
        )
    ]
    if len(serving) == len(throughput.groups):
        return throughput
    return throughput._replace(
        slots=sum(group.slots for group in serving), running=sum(group.running for group in serving), groups=()
    )


def _ahead(position: int, throughput: Throughput | None) -> WaitingReason:
    match position:
        case 0 if throughput is not None and throughput.running >= throughput.slots:
            return BUSY
        case 0:
            return NEXT
        case 1:
            return BEHIND_ONE
        case _:
            return WaitingReason(WaitingCode.AHEAD_IN_QUEUE, f"{position} messages are ahead of it.")


def _had_its_share(message: Message, overtaking: int) -> str:
    later = "1 message that came later goes" if overtaking == 1 else f"{overtaking} messages that came later go"
    return f"Tenant {message.tenant!r} has had its share: {later} first."


def _in_the_way(message: Message, head: Message | None) -> str:
    if head is None or head.id == message.id:
        return "An earlier message of its thread is unfinished."
    what = "asks a human" if head.state is MessageState.INTERRUPTED else f"is {head.state}"
    return f"Message {head.id} of its thread {what}."


def _start(message: Message, throughput: Throughput, head: Message | None, now: datetime) -> datetime | None:
    """Return when the message is likely to begin; None if unknown. With a free slot, it begins at once.

    It is unknown for a held message, which waits for the runs of its tenant.

    Otherwise the slots run the messages ahead first. Each run takes as long as recent runs. The caller has checked that
    `_stopped` returns None.
    """
    if head is not None and _stopped(head, throughput) is not None:
        return None
    throughput = _served(message, throughput)
    due = message.run_at
    if message.readiness is Readiness.DELAYED:
        return None if due is None else max(due, now)
    if message.queue_position is None or message.readiness is Readiness.HELD:
        return None
    free = max(0, throughput.slots - throughput.running)
    turns = max(0, math.ceil((message.queue_position + 1 - free) / throughput.slots))
    begin = now
    if message.readiness is Readiness.BLOCKED:
        if head is None or head.state is MessageState.INTERRUPTED:
            return None  # a human may take any time
        turns = max(turns, message.thread_number - head.thread_number)
        begin = max(now, head.run_at or now)
    if turns and throughput.run_seconds is None:
        return None
    start = begin + timedelta(seconds=turns * (throughput.run_seconds or 0.0))
    return max(start, due or start)
