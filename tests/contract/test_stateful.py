"""Any sequence of calls, by workers that live and workers that should be dead, does what the model does."""

import asyncio
import json
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.errors import LeaseLost, NotCancellable
from app.models import EventType, Lease, MessageState, Outcome, Priority, Released
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
from tests.contract.model import LeaseIsLost, QueueModel

T = TypeVar("T")

AGENTS = ["chat", "other"]
THREADS = ["a", "b"]
WORKERS = ["worker 1", "worker 2"]
LEASE_SECONDS = 10.0
DELAYED = Released("later", delay=5)
CHOICES = st.integers(0, 30)

EXAMPLES = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=list(HealthCheck),
)


class StoreMachine(RuleBasedStateMachine):
    """Does everything to the store and to the model. Leases stay in use after they are lost."""

    def __init__(self, factory: StoreFactory) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = QueueModel()
        self.leases: list[Lease] = []
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

    def lease(self, choice: int, zombie: bool) -> Lease:
        """One that holds, or any that ever did."""
        holding = [message.holder for message in self.model.in_state(MessageState.PROCESSING) if message.holder]
        leases = self.leases if zombie or not holding else holding
        return leases[choice % len(leases)]

    def message(self, choice: int, queued: bool) -> str:
        """The id of one that is queued, or of any."""
        found = self.model.in_state(MessageState.QUEUED) if queued else []
        messages = found or list(self.model.messages.values())
        return messages[choice % len(messages)].id

    @rule(
        thread=st.sampled_from([None, *THREADS, *THREADS]),
        priority=st.sampled_from(Priority),
        agent=st.sampled_from([*AGENTS, AGENTS[0]]),
    )
    def add(self, thread: str | None, priority: Priority, agent: str) -> None:
        message = self.run(add(self.store, thread=thread, priority=priority, agent=agent))
        expected = self.model.add(message.id, thread, agent, priority.level, self.clock.now())
        assert message.thread_number == expected.thread_number

    @rule(
        worker=st.sampled_from(WORKERS),
        agents=st.sampled_from([AGENTS, AGENTS[:1], AGENTS[1:]]),
        limit=st.integers(1, 3),
    )
    def claim(self, worker: str, agents: list[str], limit: int) -> None:
        claims = self.run(self.store.claim(worker, agents, limit, lease_seconds=LEASE_SECONDS))
        expected = self.model.claim(agents, limit, self.clock.now() + round(LEASE_SECONDS * 1000))
        assert [each.message.id for each in claims] == [message.id for message in expected]
        for message, (lease, _) in zip(expected, claims, strict=True):
            assert lease == (message.id, lease.fence, message.attempt, worker)
            assert lease.fence > message.fence, "the fence is not higher than before"
            message.holder, message.fence = lease, lease.fence
            self.leases.append(lease)

    @rule(worker=st.sampled_from(WORKERS))
    def beat(self, worker: str) -> None:
        held = self.model.held_by(worker, self.clock.now())
        assert beat(self.store, worker, lease_seconds=LEASE_SECONDS) == {m.id: m.fence for m in held}
        for message in held:
            message.lease_until = self.clock.now() + round(LEASE_SECONDS * 1000)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICES, zombie=st.booleans(), count=st.integers(0, 3))
    def append(self, choice: int, zombie: bool, count: int) -> None:
        lease = self.lease(choice, zombie)
        try:
            expected = self.model.append(lease, count)
        except LeaseIsLost:
            with pytest.raises(LeaseLost):
                self.run(self.store.append(lease, [chunk(index) for index in range(count)]))
        else:
            assert self.run(self.store.append(lease, [chunk(index) for index in range(count)])) == expected

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICES, zombie=st.booleans(), outcome=st.sampled_from([DONE, FAILED, RELEASED, DELAYED, DELAYED]))
    def finish(self, choice: int, zombie: bool, outcome: Outcome) -> None:
        lease = self.lease(choice, zombie)
        try:
            self.model.finish(lease, outcome, self.clock.now())
        except LeaseIsLost:
            with pytest.raises(LeaseLost):
                self.run(self.store.finish(lease, outcome))
        else:
            self.run(self.store.finish(lease, outcome))

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, queued=st.booleans())
    def cancel(self, choice: int, queued: bool) -> None:
        message_id = self.message(choice, queued)
        state = self.model.messages[message_id].state
        if self.model.cancel(message_id):
            assert self.run(self.store.cancel(TENANT, message_id)).state is MessageState.CANCELLED
        else:
            with pytest.raises(NotCancellable) as refused:
                self.run(self.store.cancel(TENANT, message_id))
            assert refused.value.state == state

    @rule()
    def rescue(self) -> None:
        assert self.run(self.store.rescue()) == self.model.rescue(self.clock.now())

    @rule()
    def promote(self) -> None:
        assert self.run(self.store.promote()) == self.model.promote(self.clock.now())

    @rule(seconds=st.sampled_from([0.001, 1, LEASE_SECONDS / 2, LEASE_SECONDS]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, after=st.integers(0, 8), limit=st.integers(1, 4))
    def read(self, choice: int, after: int, limit: int) -> None:
        message_id = self.message(choice, queued=False)
        expected = list(enumerate(self.model.messages[message_id].events, 1))
        part = self.run(page(self.store, message_id, after=after, limit=limit))
        assert [(event.id, event.type) for event in part.events] == expected[after : after + limit]
        assert part.last == len(expected)

    # What must hold after every step

    @invariant()
    def messages_are_as_in_the_model(self) -> None:
        self.run(self._compare_messages())

    async def _compare_messages(self) -> None:
        known = list(self.model.messages.values())
        stored = await asyncio.gather(*(self.store.get(TENANT, message.id) for message in known))
        logs = await asyncio.gather(*(page(self.store, message.id) for message in known))
        for message, actual, log in zip(known, stored, logs, strict=True):
            facts = (actual.state, actual.attempt, actual.thread_number, actual.result, actual.error_code)
            expected = (message.state, message.attempt, message.thread_number, message.result, message.error_code)
            assert facts == expected
            assert (actual.completed_at is None) == message.unfinished
            assert actual.fence >= message.fence, "a fence fell"
            assert message.holder is None or actual.fence == message.holder.fence
            message.fence = actual.fence
            assert log.state is message.state
            assert [(event.id, event.type) for event in log.events] == list(enumerate(message.events, 1))
            retries = [json.loads(event.data) for event in log.events if event.type is EventType.RETRY]
            assert [retry["discard_from"] for retry in retries] == message.discards

    @invariant()
    def positions_are_the_order_of_claiming(self) -> None:
        self.run(self._compare_order())

    async def _compare_order(self) -> None:
        order = [message.id for message in self.model.claim_order()]
        summary = await self.store.summary(TENANT, limit=ALL)
        listed = [message.id for message in summary.queued]
        assert [each for each in listed if each in order] == order
        assert summary.totals == {state: len(self.model.in_state(state)) for state in MessageState}
        assert {m.id for m in summary.processing} == {m.id for m in self.model.in_state(MessageState.PROCESSING)}
        blocked = len(self.model.in_state(MessageState.QUEUED)) - len(order)
        delayed = sum(message.delayed_until is not None for message in self.model.messages.values())
        placed = await asyncio.gather(*(self.store.get(TENANT, each) for each in order))
        for place, message in enumerate(placed):
            assert message.queue_position is not None
            # Those behind a delayed message may be counted or not, the delayed ones never are.
            assert place <= message.queue_position <= place + blocked - delayed

    @invariant()
    def threads_count_their_messages(self) -> None:
        expected = {}
        for name in THREADS:
            if members := self.model.of_thread(name):
                expected[name] = {s: sum(m.state is s for m in members) for s in MessageState}
        threads = self.run(all_threads(self.store))
        assert {thread.thread_id: thread.states for thread in threads} == expected
        assert all(thread.message_count == sum(thread.states.values()) for thread in threads)


@pytest.mark.parametrize("factory", BACKENDS.values(), ids=BACKENDS)
def test_every_sequence_of_calls_does_what_the_model_does(factory: StoreFactory) -> None:
    run_state_machine_as_test(lambda: StoreMachine(factory), settings=EXAMPLES)
