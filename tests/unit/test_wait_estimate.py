"""The reasons why a queued message waits, and the estimates of its start."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from app.errors import StoreUnavailable
from app.events.wait_estimates import READ_BURST, READS_PER_SECOND, THROUGHPUT_SECONDS, WaitEstimates
from app.models.messages import Message, MessageState, Priority, Readiness
from app.models.workers import AgentState, ServedAgent, Throughput, WorkerGroup
from app.policy.wait_estimate import NOTHING, WaitingCode, WaitingReason, wait_estimate
from app.store.ports import MOVED
from app.store.signals import LocalNotifier

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
S, P, C = MessageState, Readiness, WaitingCode


def message(state: MessageState = S.QUEUED, **fields: Any) -> Message:
    """A message; ready, and the next one, unless told otherwise."""
    given = {
        "number": 1,
        "id": "this",
        "tenant": "default",
        "thread_id": "t",
        "thread_number": 1,
        "agent": "chat",
        "content": "Hello",
        "priority": Priority.NORMAL,
        "state": state,
        "created_at": NOW,
        **dict.fromkeys(("started_at", "completed_at", "result", "error", "error_code")),
        "attempt": 0,
        "fence": 0,
        "readiness": P.READY,
        "queue_position": 0,
    }
    return Message(**{**given, **fields})


def throughput(
    *, paused: bool = False, slots: int = 2, running: int = 0, run_seconds: float | None = 10.0, draining: int = 0
) -> Throughput:
    return Throughput(paused=paused, slots=slots, running=running, run_seconds=run_seconds, draining=draining)


def behind(thread_number: int = 2, **fields: Any) -> Message:
    return message(readiness=P.BLOCKED, thread_number=thread_number, **fields)


def delayed(run_at: datetime = LATER, **fields: Any) -> Message:
    return message(readiness=P.DELAYED, run_at=run_at, queue_position=None, **fields)


HEAD = message(S.PROCESSING, id="head", readiness=None, queue_position=None)
ASKS = message(S.INTERRUPTED, id="head", readiness=None, queue_position=None)

REASONS: list[tuple[Message, Throughput | None, Message | None, WaitingCode, str]] = [
    (delayed(), throughput(), None, C.DELAYED, "2030-01-01T01:00:00.000Z"),
    (delayed(), throughput(paused=True, slots=0), None, C.DELAYED, "Not to be run before"),
    (message(), throughput(paused=True, slots=0), None, C.PAUSED, "paused"),
    (message(), throughput(slots=0), None, C.NO_WORKER, "No worker"),
    (message(), throughput(slots=0, draining=2), None, C.WORKERS_DRAINED, "drained all workers"),
    (message(), throughput(slots=0, draining=2, paused=True), None, C.PAUSED, "paused"),
    (behind(), throughput(), HEAD, C.THREAD_BUSY, "Message head of its thread is processing."),
    (behind(), throughput(), ASKS, C.THREAD_BUSY, "Message head of its thread asks a human."),
    (behind(), None, None, C.THREAD_BUSY, "An earlier message"),
    (message(queue_position=1), throughput(), None, C.AHEAD_IN_QUEUE, "1 message is ahead of it."),
    (message(queue_position=7), None, None, C.AHEAD_IN_QUEUE, "7 messages are ahead of it."),
    (message(), throughput(running=2), None, C.SLOTS_BUSY, "busy"),
    (message(), throughput(running=1), None, C.STARTING_SOON, "next"),
    (message(), None, None, C.STARTING_SOON, "next"),
]


@pytest.mark.parametrize(("waits", "now", "head", "code", "text"), REASONS)
def test_the_reason(waits: Message, now: Throughput | None, head: Message | None, code: WaitingCode, text: str) -> None:
    reason = wait_estimate(waits, now, head, NOW).reason
    assert reason is not None
    assert reason.code is code
    assert text in reason.message


STARTS: list[tuple[Message, Throughput | None, Message | None, float | None]] = [
    (message(), throughput(), None, 0),
    (message(), throughput(run_seconds=None), None, 0),
    (message(), throughput(running=2), None, 10),
    (message(), throughput(running=2, run_seconds=None), None, None),
    (message(queue_position=3), throughput(), None, 10),
    (message(queue_position=3), throughput(running=2), None, 20),
    (message(queue_position=9), throughput(slots=1, running=1), None, 100),
    (message(queue_position=None), throughput(), None, None),
    (message(), throughput(paused=True), None, None),
    (message(), throughput(slots=0), None, None),
    (message(), None, None, None),
    (delayed(), throughput(), None, 3600),
    (delayed(), throughput(paused=True), None, None),
    (delayed(run_at=NOW - timedelta(seconds=1)), throughput(), None, 0),
    (behind(5), throughput(), HEAD, 40),
    (behind(), throughput(), ASKS, None),
    (behind(), throughput(), None, None),
    (behind(run_at=LATER), throughput(), HEAD, 3600),
    (behind(), throughput(), delayed(id="head"), 3610),
]


@pytest.mark.parametrize(("waits", "now", "head", "seconds"), STARTS)
def test_the_start(waits: Message, now: Throughput | None, head: Message | None, seconds: float | None) -> None:
    start = wait_estimate(waits, now, head, NOW).estimated_start_at
    assert start == (None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("state", [state for state in S if state is not S.QUEUED])
def test_who_is_not_queued_waits_for_nothing(state: MessageState) -> None:
    assert wait_estimate(message(state), throughput(), None, NOW) == NOTHING


class CountingSight:
    """Counts what it is asked, and can be away."""

    def __init__(self) -> None:
        self.paces = 0
        self.heads = 0
        self.overtaking = 0
        self.overtaking_reads = 0
        self.away = False
        self.running = 2

    def now(self) -> datetime:
        return NOW

    async def throughput(self) -> Throughput:
        self.paces += 1
        if self.away:
            raise StoreUnavailable("away")
        return throughput(running=self.running)

    async def count_overtaking(self, tenant: str, message_id: str) -> int:
        self.overtaking_reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.overtaking

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        self.heads += 1
        return HEAD


def wait_estimates_of(
    sight: CountingSight, time: Callable[[], float] = monotonic, notifier: LocalNotifier | None = None
) -> WaitEstimates:
    return WaitEstimates(sight, (notifier or LocalNotifier()).subscribe(MOVED), time)


async def test_the_throughput_is_looked_at_once_a_second() -> None:
    sight, time = CountingSight(), 0.0
    wait_estimates = wait_estimates_of(sight, lambda: time)
    for _ in range(3):
        await wait_estimates.of(message())
    assert sight.paces == 1
    time += THROUGHPUT_SECONDS
    await wait_estimates.of(message())
    assert sight.paces == 2
    wait_estimates.forget()
    await wait_estimates.of(message())
    assert sight.paces == 3


async def test_the_throughput_is_looked_at_again_when_the_queue_has_moved() -> None:
    sight, notifier = CountingSight(), LocalNotifier()
    wait_estimates = wait_estimates_of(sight, lambda: 0.0, notifier)
    for looks in range(1, 6):
        notifier.publish(MOVED)
        await wait_estimates.of(message())
        await wait_estimates.of(message())
        assert sight.paces == looks


async def test_an_accepted_message_does_not_wait_for_the_slot_that_it_has_itself() -> None:
    sight, notifier = CountingSight(), LocalNotifier()
    wait_estimates = wait_estimates_of(sight, lambda: 0.0, notifier)
    sight.running = 0
    await wait_estimates.look()
    sight.running = 2  # the message was accepted and claimed
    notifier.publish(MOVED)
    (found,) = await wait_estimates.of_accepted([message()])
    assert found.reason is not None
    assert found.reason.code is C.STARTING_SOON
    await wait_estimates.look()
    (next_one,) = await wait_estimates.of_accepted([message()])
    assert next_one.reason is not None
    assert next_one.reason.code is C.SLOTS_BUSY


async def test_a_store_that_is_away_refuses_no_message_for_its_estimate() -> None:
    sight = CountingSight()
    sight.away = True
    wait_estimates = wait_estimates_of(sight)
    await wait_estimates.look()
    assert await wait_estimates.of_accepted([message()]) == [wait_estimate(message(), None, None, NOW)]


async def test_looks_are_limited_while_the_queue_moves_all_the_time() -> None:
    sight, notifier, time = CountingSight(), LocalNotifier(), 0.0
    wait_estimates = wait_estimates_of(sight, lambda: time, notifier)
    for _ in range(10_000):
        time += 0.001
        notifier.publish(MOVED)
        await wait_estimates.of(message())
    assert 10 * READS_PER_SECOND <= sight.paces <= 10 * READS_PER_SECOND + READ_BURST + 1


async def test_what_moves_during_a_look_is_not_missed() -> None:
    sight, notifier = CountingSight(), LocalNotifier()
    wait_estimates = wait_estimates_of(sight, lambda: 0.0, notifier)
    look = sight.throughput

    async def moves_meanwhile() -> Throughput:
        found = await look()
        notifier.publish(MOVED)
        return found

    sight.throughput = moves_meanwhile  # type: ignore[method-assign]  # replaced on purpose
    await wait_estimates.of(message())
    await wait_estimates.of(message())
    assert sight.paces == 2


def group(slots: int = 1, running: int = 0, **states: str | None) -> WorkerGroup:
    """Workers with these agents: an error, None for one that is available, "loading"."""

    def served(name: str, state: str | None) -> ServedAgent:
        if state == "loading":
            return ServedAgent(name=name, state=AgentState.LOADING)
        if state is None:
            return ServedAgent(name=name, state=AgentState.AVAILABLE)
        return ServedAgent(name=name, state=AgentState.FAILED, error=state)

    return WorkerGroup(slots, running, tuple(served(*each) for each in states.items()))


def throughput_of(*groups: WorkerGroup) -> Throughput:
    slots, running = sum(each.slots for each in groups), sum(each.running for each in groups)
    return Throughput(paused=False, slots=slots, running=running, run_seconds=10.0, groups=groups)


UNTOLD = WorkerGroup(1, 0, None)
SERVED: list[tuple[Throughput, WaitingCode, str, float | None]] = [
    (throughput_of(group(chat=None)), C.STARTING_SOON, "next", 0),
    (
        throughput_of(group(chat="RuntimeError: no table", other=None)),
        C.AGENT_UNAVAILABLE,
        "RuntimeError: no table",
        None,
    ),
    (throughput_of(group(chat="loading")), C.AGENT_UNAVAILABLE, "still being loaded", None),
    (
        throughput_of(group(chat="RuntimeError: no"), group(chat="loading")),
        C.AGENT_UNAVAILABLE,
        "still being loaded",
        None,
    ),
    (throughput_of(group(other=None)), C.AGENT_UNAVAILABLE, "No live worker is configured to run agent 'chat'", None),
    (throughput_of(group(chat="RuntimeError: no"), group(chat=None)), C.STARTING_SOON, "next", 0),
    (throughput_of(group(other=None), UNTOLD), C.STARTING_SOON, "next", 0),
    (throughput_of(group(other=None), group(chat=None, running=1)), C.SLOTS_BUSY, "busy", 10),
    (throughput_of(group(other=None, running=1), group(chat=None)), C.STARTING_SOON, "next", 0),
]


@pytest.mark.parametrize(("now", "code", "text", "seconds"), SERVED)
def test_a_message_waits_for_workers_that_run_its_agent(
    now: Throughput, code: WaitingCode, text: str, seconds: float | None
) -> None:
    start, reason = wait_estimate(message(), now, None, NOW)
    assert reason is not None
    assert (reason.code, text in reason.message) == (code, True)
    assert start == (None if seconds is None else NOW + timedelta(seconds=seconds))


def of_version(version: str | None, state: AgentState = AgentState.AVAILABLE, running: int = 0) -> WorkerGroup:
    """A worker with this version of the agent."""
    error = "No." if state is AgentState.FAILED else None
    return WorkerGroup(1, running, (ServedAgent(name="chat", state=state, error=error, version=version),))


VERSIONS: list[tuple[Throughput, WaitingCode, str, float | None]] = [
    (throughput_of(of_version("v1"), of_version("v2")), C.STARTING_SOON, "next", 0),
    (throughput_of(of_version("v1", running=1), of_version("v2")), C.SLOTS_BUSY, "busy", 10),
    (throughput_of(of_version("v2")), C.VERSION_UNAVAILABLE, "version 'v1' of agent 'chat', which began it", None),
    (throughput_of(of_version(None)), C.VERSION_UNAVAILABLE, "version 'v1' of agent 'chat', which began it", None),
    (
        throughput_of(of_version("v1", AgentState.LOADING), of_version("v2")),
        C.AGENT_UNAVAILABLE,
        "still being loaded",
        None,
    ),
    (throughput_of(of_version("v1", AgentState.FAILED), of_version("v2")), C.AGENT_UNAVAILABLE, "No.", None),
    (throughput_of(of_version("v2", AgentState.FAILED)), C.AGENT_UNAVAILABLE, "No.", None),
    (throughput_of(of_version("v2"), UNTOLD), C.STARTING_SOON, "next", 0),
]


@pytest.mark.parametrize(("now", "code", "text", "seconds"), VERSIONS)
def test_a_message_that_has_begun_waits_for_workers_with_its_version(
    now: Throughput, code: WaitingCode, text: str, seconds: float | None
) -> None:
    start, reason = wait_estimate(message(agent_version="v1"), now, None, NOW)
    assert reason is not None
    assert (reason.code, text in reason.message) == (code, True)
    assert start == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_a_message_behind_one_that_waits_for_its_version_has_no_estimate() -> None:
    head = message(id="head", agent_version="v1")
    now = throughput_of(of_version("v2"))
    assert wait_estimate(behind(), now, head, NOW).estimated_start_at is None
    assert wait_estimate(behind(), now, message(id="head"), NOW).estimated_start_at is not None


def test_a_message_behind_one_whose_agent_is_broken_has_no_estimate() -> None:
    head = message(id="head", agent="broken")
    assert wait_estimate(behind(), throughput_of(group(chat=None, broken="No.")), head, NOW).estimated_start_at is None


async def test_a_thread_is_looked_at_once_for_all_of_its_messages() -> None:
    sight = CountingSight()
    found = await wait_estimates_of(sight).of_accepted(
        [message(thread_id="u"), *(behind(number) for number in range(2, 9))]
    )
    assert (sight.heads, len(found)) == (1, 8)
    assert [each.reason and each.reason.code for each in found] == [C.SLOTS_BUSY, *[C.THREAD_BUSY] * 7]


async def test_nothing_is_asked_for_messages_that_have_ended() -> None:
    sight = CountingSight()
    assert await wait_estimates_of(sight).of(message(S.COMPLETED)) == NOTHING
    assert (sight.paces, sight.heads) == (0, 0)


async def test_while_the_store_is_away_the_message_still_tells_its_reason() -> None:
    sight = CountingSight()
    sight.away = True
    start, reason = await wait_estimates_of(sight).of(message(queue_position=3))
    assert start is None
    assert reason is not None
    assert reason.code is C.AHEAD_IN_QUEUE


async def test_a_held_message_tells_that_its_tenant_runs_as_many_as_it_may() -> None:
    held = message(queue_position=0, readiness=Readiness.HELD)
    start, reason = await wait_estimates_of(CountingSight()).of(held)
    text = "Tenant 'default' runs as many messages as it may at the same time."
    assert (start, reason) == (None, WaitingReason(C.TENANT_RUNNING, text))


@pytest.mark.parametrize(
    ("overtaking", "text"),
    [
        (1, "Tenant 'default' has had its share: 1 message that came later goes first."),
        (7, "Tenant 'default' has had its share: 7 messages that came later go first."),
    ],
)
async def test_a_message_tells_that_its_tenant_has_had_its_share(overtaking: int, text: str) -> None:
    sight = CountingSight()
    sight.overtaking = overtaking
    _, reason = await wait_estimates_of(sight).of(message(queue_position=9))
    assert reason == WaitingReason(C.FAIR_SHARE, text)


@pytest.mark.parametrize(
    "waits", [message(queue_position=0), behind(queue_position=3), delayed(), message(S.PROCESSING)]
)
async def test_shares_are_asked_for_only_where_they_could_be_the_reason(waits: Message) -> None:
    sight = CountingSight()
    await wait_estimates_of(sight).of(waits)
    await wait_estimates_of(sight).of_accepted(
        [message(queue_position=9)]
    )  # it was just accepted, so nothing came later
    assert sight.overtaking_reads == 0
