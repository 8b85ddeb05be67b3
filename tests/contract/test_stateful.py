"""Any sequence of calls, by workers that live and workers that should be dead, does what the model does."""

import asyncio
import copy
import json
import os
import sys
import tempfile
from collections import Counter
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

from app.errors import LeaseLost, NotCancellable, NotFailed, NotInterrupted, NotQueued, ThreadBusy
from app.models.attempts import Beat, FailedAttempt, Interrupted, Lease, Outcome, Released, Retry
from app.models.events import EventPage, EventType
from app.models.messages import IfBusy, Message, MessageState, Priority, QueueSummary, Readiness, Thread
from app.models.sharing import FairShare
from app.models.statistics import DAY, HISTOGRAMS, STORED, FigureQuery, Metric
from app.models.tenants import TenantLimits, TenantSettings
from app.policy.rank import RankPolicy
from tests.clock import ManualClock
from tests.contract.backends import BACKENDS, StoreFactory
from tests.contract.builders import (
    ALL,
    ANSWER,
    CANCELLED,
    DONE,
    FAILED,
    RELEASED,
    RETRIED,
    TENANT,
    add_all,
    all_threads,
    beat,
    chunk,
    new,
    page,
)
from tests.contract.model import IsBusy, LeaseIsLost, ModelMessage, QueueModel

T = TypeVar("T")

QUEUED, PROCESSING, INTERRUPTED = MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED

AGENTS = ["chat", "other"]
AGENT_LISTS = [AGENTS[:1], AGENTS[1:]]
THREADS = ["a", None, "b"]
SUBJECTS = {"a": "ann", "b": "bob"}
"""To whom the threads belong. Messages without a thread are of anybody."""
NEWS = st.lists(
    st.fixed_dictionaries(
        {
            "thread": st.sampled_from(THREADS),
            "subject": st.sampled_from([None, *SUBJECTS.values()]),
            "priority": st.sampled_from(Priority),
            "agent": st.sampled_from([*AGENTS, AGENTS[0]]),
            "delay_seconds": st.sampled_from([0.0, 0.0, 0.0, 5.0]),
            "if_busy": st.sampled_from([*[IfBusy.ENQUEUE] * 7, IfBusy.REJECT, IfBusy.INTERRUPT, IfBusy.ROLLBACK]),
        }
    ),
    min_size=1,
    max_size=4,
)
News = list[dict[str, Any]]
WORKERS = ["worker 1", "worker 2"]
LEASE_SECONDS = 10.0
DELAYED = Released("later", delay=5)
RETRIED_AT_ONCE = Retry("It broke for now.", "agent_error", 0.0)
ASKED = Interrupted("[]", 10.0)
ENDINGS = [DONE, FAILED, FAILED, CANCELLED]
PUT_BACKS = [RELEASED, DELAYED, RETRIED, RETRIED_AT_ONCE]
CHOICES = st.integers(0, 30)
ENOUGH_QUEUED = 12
FIGURES = {
    Metric.COMPLETED: EventType.DONE,
    Metric.FAILED: EventType.ERROR,
    Metric.CANCELLED: EventType.CANCELLED,
    Metric.INTERRUPTED: EventType.INTERRUPTED,
    Metric.RESUMED: EventType.RESUMED,
}
"""The metric that each event counts for."""

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
    for examples, steps in ((20, 15), (30, 50))
)


class StoreMachine(RuleBasedStateMachine):
    """Does everything to the store and to the model. Leases stay in use after they are lost."""

    def __init__(self, factory: StoreFactory) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = QueueModel()
        self.leases: list[Lease] = []
        self.purged: list[ModelMessage] = []
        self.steps = 0
        self.runner = asyncio.Runner()
        self.loop = self.runner.get_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.store = factory(Path(self.folder.name), self.clock, RankPolicy(fair_share=FairShare.SUBJECT))
        self.run(self.store.open())

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.run(self._compare_all())
                self.run(self._compare_figures())
        finally:
            self.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)  # without the signal handler that a runner sets for each call

    def holding(self, choice: int) -> Lease:
        """A lease that holds."""
        leases = [message.holder for message in self.model.in_state(MessageState.PROCESSING) if message.holder]
        return leases[choice % len(leases)]

    # What is accepted and claimed. Hypothesis takes the rules about equally often, hence the two claims.

    @initialize(news=NEWS)
    def begin(self, news: News) -> None:
        self.add(news)

    @precondition(lambda self: len(self.model.in_state(MessageState.QUEUED)) < ENOUGH_QUEUED)
    @rule(news=NEWS)
    def add(self, news: News) -> None:
        """In one call, so that one which is refused takes the others with it."""
        given = [new(**{**fields, "subject": SUBJECTS.get(fields["thread"], fields["subject"])}) for fields in news]
        trial = copy.deepcopy(self.model)
        try:
            expected = [
                trial.add(
                    each.id,
                    each.thread_id,
                    each.agent,
                    each.priority,
                    self.clock.now(),
                    subject=each.subject,
                    delay=each.delay_seconds,
                    if_busy=each.if_busy,
                )
                for each in given
            ]
        except IsBusy:
            with pytest.raises(ThreadBusy):
                self.run(add_all(self.store, *given))
            return
        self.model = trial
        for message, stored in zip(expected, self.run(add_all(self.store, *given)), strict=True):
            assert (stored.thread_number, stored.rollback) == (message.thread_number, message.rollback)

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
    @rule(choice=CHOICES, outcome=st.sampled_from(ENDINGS))
    def end(self, choice: int, outcome: Outcome) -> None:
        self.finish(self.holding(choice), outcome)

    @precondition(lambda self: self.model.in_state(MessageState.PROCESSING))
    @rule(choice=CHOICES, outcome=st.sampled_from(PUT_BACKS))
    def put_back(self, choice: int, outcome: Outcome) -> None:
        self.finish(self.holding(choice), outcome)

    @precondition(lambda self: self.model.in_state(MessageState.PROCESSING))
    @rule(choice=CHOICES)
    def ask(self, choice: int) -> None:
        self.finish(self.holding(choice), ASKED)

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
    @rule(choice=CHOICES, outcome=st.sampled_from([*ENDINGS, *PUT_BACKS, ASKED]))
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

    def one(self, choice: int, *states: MessageState) -> ModelMessage:
        """A message in one of these states; any other where there is none."""
        found = [message for message in self.model.messages.values() if message.state in states]
        messages = found or list(self.model.messages.values())
        return messages[choice % len(messages)]

    @precondition(lambda self: self.model.messages)
    @rule(
        choice=CHOICES,
        running=st.booleans(),
        states=st.sampled_from([[QUEUED], [PROCESSING], [INTERRUPTED], list(MessageState)]),
    )
    def cancel(self, choice: int, running: bool, states: list[MessageState]) -> None:
        message = self.one(choice, *states)
        state = message.state
        cancel = self.store.cancel(TENANT, message.id, running=running)
        if self.model.cancel(message.id, self.clock.now(), running=running):
            cancelled = self.run(cancel)
            assert (cancelled.state, cancelled.cancel_requested) == (message.state, message.cancel_requested)
        else:
            with pytest.raises(NotCancellable) as refused:
                self.run(cancel)
            assert refused.value.state == state

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, priority=st.sampled_from(Priority))
    def reprioritize(self, choice: int, priority: Priority) -> None:
        message = self.one(choice, QUEUED)
        if self.model.reprioritize(message.id, priority):
            assert self.run(self.store.reprioritize(TENANT, message.id, priority)).priority is priority
        else:
            with pytest.raises(NotQueued):
                self.run(self.store.reprioritize(TENANT, message.id, priority))

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, step=st.sampled_from([0, 0, 0, -1]))
    def resume(self, choice: int, step: int) -> None:
        message = self.one(choice, INTERRUPTED)
        fence = message.fence + step
        if self.model.resume(message.id, fence, ANSWER):
            (resumed,) = self.run(self.store.resume(TENANT, message.id, fence, ANSWER)).messages
            assert (resumed.state, resumed.resume_value) == (QUEUED, ANSWER)
        else:
            with pytest.raises(NotInterrupted):
                self.run(self.store.resume(TENANT, message.id, fence, ANSWER))

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, others=st.booleans())
    def requeue(self, choice: int, others: bool) -> None:
        """One that has failed, or all of them."""
        failed = [message.id for message in self.model.in_state(MessageState.FAILED)]
        ids = failed if others and failed else [self.one(choice, MessageState.FAILED).id]
        if self.model.requeue(ids, self.clock.now()):
            requeued = self.run(self.store.requeue(TENANT, ids))
            assert [message.id for message in requeued] == ids
        else:
            with pytest.raises(NotFailed):
                self.run(self.store.requeue(TENANT, ids))

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES)
    def purge(self, choice: int) -> None:
        """Not the last one of its thread: whether that begins anew is open."""
        message = self.one(choice, MessageState.FAILED)
        if message.thread is not None and len(self.model.of_thread(message.thread)) == 1:
            return
        if self.model.purge([message.id]):
            self.purged.append(message)
            keys = self.run(self.store.purge(TENANT, [message.id]))
            assert keys == ([] if message.thread else [Message.memory_key_of(TENANT, None, message.id)])
        else:
            with pytest.raises(NotFailed):
                self.run(self.store.purge(TENANT, [message.id]))

    @rule(paused=st.sampled_from([True, False, False, False]))
    def pause(self, paused: bool) -> None:
        self.model.paused = paused
        self.run(self.store.pause(paused=paused))

    @rule(most=st.sampled_from([None, None, 1, 2]))
    def limit_running(self, most: int | None) -> None:
        """A higher limit lets messages run as soon as a duty has found it."""
        self.model.most_running = most
        self.run(self._change_limit(most))
        self.promote_after(0)

    async def _change_limit(self, most: int | None) -> None:
        record = await self.store.get_tenant(TENANT)
        settings = TenantSettings(limits=TenantLimits(running=most))
        assert await self.store.put_tenant(TENANT, settings, revision=record.revision if record else None) is not None

    @rule(seconds=st.sampled_from([0, 5, 9.999, 10]))
    def expire_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        assert self.run(self.store.expire_interrupts()) == self.model.expire_interrupts(self.clock.now())

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
        cancelled = frozenset(message.id for message in held if message.cancel_requested)
        told = self.run(beat(self.store, worker, lease_seconds=LEASE_SECONDS))
        assert told == Beat({message.id: message.fence for message in held}, cancelled)
        for message in held:
            message.lease_until = self.clock.now() + round(LEASE_SECONDS * 1000)

    @precondition(lambda self: self.model.messages)
    @rule(choice=CHOICES, after=st.integers(0, 8), limit=st.integers(1, 4))
    def read(self, choice: int, after: int, limit: int) -> None:
        message = list(self.model.messages.values())[choice % len(self.model.messages)]
        expected = list(enumerate(message.events, 1))[message.dropped :]
        wanted = [(number, kind) for number, kind in expected if number > after][:limit]
        part = self.run(page(self.store, message.id, after=after, limit=limit))
        assert [(event.id, event.type) for event in part.events] == wanted
        assert part.last == len(message.events)

    @rule(seconds=st.sampled_from([0, 3600]))
    def fold(self, seconds: float) -> None:
        self.run(self.store.fold_figures(records_seconds=seconds))

    # What must hold after every step

    @invariant()
    def everything_is_as_in_the_model(self) -> None:
        self.run(self._compare())

    async def _compare(self) -> None:
        """Compare what lasts from time to time only: a log or a count that is wrong stays so."""
        self.steps += 1
        if self.steps % 4 == 0:
            await self._compare_all(ended=self.steps % 8 == 0)
        else:
            known = [message for message in self.model.messages.values() if message.unfinished]
            messages, summary = await asyncio.gather(
                asyncio.gather(*(self.store.get(TENANT, message.id) for message in known)),
                self.store.summary(TENANT, limit=ALL),
            )
            self.compare_messages(known, messages, summary)

    async def _compare_all(self, *, ended: bool = True) -> None:
        known = [message for message in self.model.messages.values() if ended or message.unfinished]
        messages, logs, attempts, summary, threads = await asyncio.gather(
            asyncio.gather(*(self.store.get(TENANT, message.id) for message in known)),
            asyncio.gather(*(page(self.store, message.id) for message in known)),
            self.store.list_attempts(TENANT, [message.id for message in known]),
            self.store.summary(TENANT, limit=ALL),
            all_threads(self.store),
        )
        for expected, log in zip(known, logs, strict=True):
            compare_log(expected, log)
            compare_attempts(expected, attempts[expected.id])
        self.compare_messages(known, messages, summary)
        self.compare_threads(threads)

    async def _compare_figures(self) -> None:
        """Compare the figures with the events of all messages that ever were."""
        first = self.clock.now() - self.clock.now() % (DAY * 1000) - DAY * 1000
        query = FigureQuery(STORED, DAY, first, first + 3 * DAY * 1000)
        counts: Counter[str] = Counter()
        for figure in await self.store.read_figures(TENANT, query):
            if figure.metric not in HISTOGRAMS:
                counts[figure.metric] += figure.value
            if (figure.metric, figure.label) == (Metric.FAILED, "worker_lost"):
                counts["lost and failed"] += figure.value
        messages = [*self.model.messages.values(), *self.purged]
        events = Counter(event for message in messages for event in message.events)
        assert counts[Metric.ACCEPTED] == len(messages)
        retries = counts[Metric.RETRIED] + counts[Metric.RELEASED] + counts[Metric.REQUEUED] + counts[Metric.LOST]
        assert retries - counts["lost and failed"] == events[EventType.RETRY]
        for metric, event in FIGURES.items():
            assert counts[metric] == events[event], metric

    def compare_messages(self, known: list[ModelMessage], messages: list[Message], summary: QueueSummary) -> None:
        for expected, message in zip(known, messages, strict=True):
            compare_message(expected, message)
        self.compare_order(summary, {message.id: message.queue_position for message in messages})

    def compare_order(self, summary: QueueSummary, positions: dict[str, int | None]) -> None:
        order = [message.id for message in self.model.claim_order()]
        queued = self.model.in_state(MessageState.QUEUED)
        assert [message.id for message in summary.queued if message.id in order] == order
        assert summary.totals == {state: len(self.model.in_state(state)) for state in MessageState}
        assert summary.queued_by_priority == {
            priority: sum(message.priority is priority for message in queued) for priority in Priority
        }
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
    assert (message.priority, message.rollback, message.interrupt) == (
        expected.priority,
        expected.rollback,
        expected.interrupt,
    )
    if expected.unfinished:
        assert (message.crashes, message.resume_value) == (expected.crashes, expected.resume_value)
        assert message.cancel_requested == expected.cancel_requested
        assert (message.readiness is Readiness.DELAYED) == (expected.delayed_until is not None)
    assert (message.completed_at is None) == expected.unfinished
    assert message.fence >= expected.fence, "a fence fell"
    assert expected.holder is None or message.fence == expected.holder.fence
    expected.fence = message.fence


def compare_attempts(expected: ModelMessage, attempts: list[FailedAttempt]) -> None:
    if expected.failures is not None:
        assert [attempt.attempt for attempt in attempts] == expected.failures


def compare_log(expected: ModelMessage, log: EventPage) -> None:
    assert log.state is expected.state
    assert [(event.id, event.type) for event in log.events] == list(enumerate(expected.events, 1))[expected.dropped :]
    told = [json.loads(event.data) for event in log.events if event.type in (EventType.RETRY, EventType.RESUMED)]
    assert [retry["discard_from"] for retry in told] == expected.discards


@pytest.mark.parametrize("examples", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("factory", BACKENDS.values(), ids=BACKENDS)
def test_every_sequence_of_calls_does_what_the_model_does(factory: StoreFactory, examples: settings) -> None:
    run_state_machine_as_test(lambda: StoreMachine(factory), settings=examples)  # type: ignore[arg-type]  # Hypothesis takes a factory too
