"""Any sequence of calls, by workers that live and workers that should be dead, does what the model does."""

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.errors import LeaseLost, NotCancellable
from app.models import (
    EventPage,
    EventType,
    Lease,
    Message,
    MessageState,
    Outcome,
    Priority,
    QueueSummary,
    Released,
    Thread,
)
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    RELEASED,
    TENANT,
    add,
    all_threads,
    beat,
    chunk,
    page,
)
from tests.contract.model import LeaseIsLost, ModelMessage, QueueModel

T = TypeVar("T")

AGENTS = ["chat", "other"]
AGENT_LISTS = [AGENTS[:1], AGENTS[1:]]
THREADS = ["a", None, "b"]
NEWS = st.lists(
    st.tuples(st.sampled_from(THREADS), st.sampled_from(Priority), st.sampled_from([*AGENTS, AGENTS[0]])),
    min_size=1,
    max_size=4,
)
WORKERS = ["worker 1", "worker 2"]
LEASE_SECONDS = 10.0
DELAYED = Released("later", delay=5)
CHOICES = st.integers(0, 30)
ENOUGH_QUEUED = 12

SHORT, LONG = (
    settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize="CI" in os.environ,
        database=None,
        # Shrinking would take minutes. The short runs come first instead, so that what fails is mostly short.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for examples, steps in ((15, 12), (25, 40))
)


class StoreMachine(RuleBasedStateMachine):
    """Does everything to the store and to the model. Leases stay in use after they are lost."""

    def __init__(self, factory: StoreFactory) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = QueueModel()
        self.leases: list[Lease] = []
        self.steps = 0
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.store = factory(Path(self.folder.name), self.clock)
        self.run(self.store.open())

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def holding(self, choice: int) -> Lease:
        """A lease that holds."""
        leases = [message.holder for message in self.model.in_state(MessageState.PROCESSING) if message.holder]
        return leases[choice % len(leases)]

    # What is accepted and claimed. Hypothesis takes the rules about equally often, hence the two claims.

    @initialize(news=NEWS)
    def begin(self, news: list[tuple[str | None, Priority, str]]) -> None:
        self.add(news)

    @precondition(lambda self: len(self.model.in_state(MessageState.QUEUED)) < ENOUGH_QUEUED)
    @rule(news=NEWS)
    def add(self, news: list[tuple[str | None, Priority, str]]) -> None:
        for thread, priority, agent in news:
            message = self.run(add(self.store, thread=thread, priority=priority, agent=agent))
            expected = self.model.add(message.id, thread, agent, priority.level, self.clock.now())
            assert message.thread_number == expected.thread_number

    @rule(worker=st.sampled_from(WORKERS))
    def claim_all(self, worker: str) -> None:
        self.claim(worker, AGENTS, ALL)

    @rule(worker=st.sampled_from(WORKERS), agents=st.sampled_from([AGENTS, *AGENT_LISTS]), limit=st.integers(1, 3))
    def claim(self, worker: str, agents: list[str], limit: int) -> None:
        claims = self.run(self.store.claim(worker, agents, limit, lease_seconds=LEASE_SECONDS))
        expected = self.model.claim(agents, limit, self.clock.now() + round(LEASE_SECONDS * 1000))
        assert [each.message.id for each in claims] == [message.id for message in expected]
        for message, (lease, _) in zip(expected, claims, strict=True):
            assert lease == (message.id, lease.fence, message.attempt, worker)
            assert lease.fence > message.fence, "the fence is not higher than before"
            message.holder, message.fence = lease, lease.fence
            self.leases.append(lease)

    # What is done with a lease that holds

    @precondition(lambda self: self.model.in_state(MessageState.PROCESSING))
    @rule(choice=CHOICES, outcome=st.sampled_from([DONE, FAILED]))
    def end(self, choice: int, outcome: Outcome) -> None:
        self.finish(self.holding(choice), outcome)

    @precondition(lambda self: self.model.in_state(MessageState.PROCESSING))
    @rule(choice=CHOICES, outcome=st.sampled_from([RELEASED, DELAYED]))
    def put_back(self, choice: int, outcome: Outcome) -> None:
        self.finish(self.holding(choice), outcome)

    @precondition(lambda self: self.model.in_state(MessageState.PROCESSING))
    @rule(choice=CHOICES, count=st.integers(0, 3))
    def write(self, choice: int, count: int) -> None:
        self.append(self.holding(choice), count)

    # What is tried with any lease that ever was

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICES, count=st.integers(0, 3))
    def write_with_any_lease(self, choice: int, count: int) -> None:
        self.append(self.leases[choice % len(self.leases)], count)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICES, outcome=st.sampled_from([DONE, FAILED, RELEASED, DELAYED]))
    def finish_with_any_lease(self, choice: int, outcome: Outcome) -> None:
        self.finish(self.leases[choice % len(self.leases)], outcome)

    def append(self, lease: Lease, count: int) -> None:
        events = [chunk(index) for index in range(count)]
        try:
            expected = self.model.append(lease, count)
        except LeaseIsLost:
            with pytest.raises(LeaseLost):
                self.run(self.store.append(lease, events))
        else:
            assert self.run(self.store.append(lease, events)) == expected

    def finish(self, lease: Lease, outcome: Outcome) -> None:
        try:
            self.model.finish(lease, outcome, self.clock.now())
        except LeaseIsLost:
            with pytest.raises(LeaseLost):
                self.run(self.store.finish(lease, outcome))
        else:
            self.run(self.store.finish(lease, outcome))

    # What others do

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, queued=st.sampled_from([True, True, True, False]))
    def cancel(self, choice: int, queued: bool) -> None:
        found = self.model.in_state(MessageState.QUEUED) if queued else []
        messages = found or list(self.model.messages.values())
        message = messages[choice % len(messages)]
        state = message.state
        if self.model.cancel(message.id):
            assert self.run(self.store.cancel(TENANT, message.id)).state is MessageState.CANCELLED
        else:
            with pytest.raises(NotCancellable) as refused:
                self.run(self.store.cancel(TENANT, message.id))
            assert refused.value.state == state

    @rule(seconds=st.sampled_from([0, 5, 9.999, 10]))
    def rescue_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        assert self.run(self.store.rescue()) == self.model.rescue(self.clock.now())

    @rule(seconds=st.sampled_from([0, 4.999, 5]))
    def promote_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        assert self.run(self.store.promote()) == self.model.promote(self.clock.now())

    @rule(seconds=st.sampled_from([0, 0.001, 5, 10]), worker=st.sampled_from(WORKERS))
    def beat_after(self, seconds: float, worker: str) -> None:
        self.clock.advance(seconds)
        held = self.model.held_by(worker, self.clock.now())
        assert self.run(beat(self.store, worker, lease_seconds=LEASE_SECONDS)) == {m.id: m.fence for m in held}
        for message in held:
            message.lease_until = self.clock.now() + round(LEASE_SECONDS * 1000)

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, after=st.integers(0, 8), limit=st.integers(1, 4))
    def read(self, choice: int, after: int, limit: int) -> None:
        message = list(self.model.messages.values())[choice % len(self.model.messages)]
        expected = list(enumerate(message.events, 1))
        part = self.run(page(self.store, message.id, after=after, limit=limit))
        assert [(event.id, event.type) for event in part.events] == expected[after : after + limit]
        assert part.last == len(expected)

    # What must hold after every step

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        """What has ended is looked at from time to time only, for it is most of it."""
        self.steps += 1
        known = [message for message in self.model.messages.values() if message.unfinished or self.steps % 8 == 0]
        messages, logs, summary, threads = await asyncio.gather(
            asyncio.gather(*(self.store.get(TENANT, message.id) for message in known)),
            asyncio.gather(*(page(self.store, message.id) for message in known)),
            self.store.summary(TENANT, limit=ALL),
            all_threads(self.store),
        )
        for expected, message, log in zip(known, messages, logs, strict=True):
            compare_message(expected, message)
            compare_log(expected, log)
        self.compare_order(summary, {message.id: message.queue_position for message in messages})
        self.compare_threads(threads)

    def compare_order(self, summary: QueueSummary, positions: dict[str, int | None]) -> None:
        order = [message.id for message in self.model.claim_order()]
        queued = self.model.in_state(MessageState.QUEUED)
        assert [message.id for message in summary.queued if message.id in order] == order
        assert summary.totals == {state: len(self.model.in_state(state)) for state in MessageState}
        assert {m.id for m in summary.processing} == {m.id for m in self.model.in_state(MessageState.PROCESSING)}
        # Whether those behind a delayed message are counted is open; the delayed ones are not.
        behind_delayed = len(queued) - len(order) - sum(message.delayed_until is not None for message in queued)
        for place, message_id in enumerate(order):
            position = positions[message_id]
            assert position is not None
            assert place <= position <= place + behind_delayed

    def compare_threads(self, threads: list[Thread]) -> None:
        expected = {}
        for name in filter(None, THREADS):
            if members := self.model.of_thread(name):
                expected[name] = {state: sum(m.state is state for m in members) for state in MessageState}
        assert {thread.thread_id: thread.states for thread in threads} == expected
        assert all(thread.message_count == sum(thread.states.values()) for thread in threads)


def compare_message(expected: ModelMessage, message: Message) -> None:
    assert message.state is expected.state
    assert (message.attempt, message.thread_number) == (expected.attempt, expected.thread_number)
    assert (message.result, message.error_code) == (expected.result, expected.error_code)
    assert (message.completed_at is None) == expected.unfinished
    assert message.fence >= expected.fence, "a fence fell"
    assert expected.holder is None or message.fence == expected.holder.fence
    expected.fence = message.fence


def compare_log(expected: ModelMessage, log: EventPage) -> None:
    assert log.state is expected.state
    assert [(event.id, event.type) for event in log.events] == list(enumerate(expected.events, 1))
    retries = [json.loads(event.data) for event in log.events if event.type is EventType.RETRY]
    assert [retry["discard_from"] for retry in retries] == expected.discards


@pytest.mark.parametrize("examples", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("factory", BACKENDS.values(), ids=BACKENDS)
def test_every_sequence_of_calls_does_what_the_model_does(factory: StoreFactory, examples: settings) -> None:
    run_state_machine_as_test(lambda: StoreMachine(factory), settings=examples)  # type: ignore[arg-type]  # Hypothesis takes a factory too
