"""The ports of the store. Their docstrings are the law; `tests/contract` holds every backend to it.

One object meets all of them over one database, so that a change of state and its event are one transaction. Consumers
ask for the narrow port that they need. Rules that hold for every method:

- A write of a worker carries its `Lease`. Where the fence is no longer the message's, nothing is written and
  `LeaseLost` is raised (tests/contract/test_fences.py).
- A method returns after the commit. What it returned survives what the backend promises (DESIGN section 4).
- Every change of state writes its event in the same transaction; a log ends with its only terminal event
  (tests/contract/test_events.py).
- `StoreUnavailable` means that nothing was written and that a later try may succeed. Where a store went away while it
  wrote, and did not come back in time to tell what became of that, `CommitUnknown` says so.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..models.attempts import Beat, Claim, FailedAttempt, Lease, Outcome
from ..models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryRecord
from ..models.events import EventPage, NewEvent
from ..models.messages import (
    Accepted,
    DeadLetterGroup,
    Message,
    MessageFilter,
    NewMessage,
    Page,
    Priority,
    QueueSummary,
    RequestKey,
    Thread,
)
from ..models.workers import Throughput, Worker

READY = "ready"
"""Topic of new work: a message became claimable."""

MOVED = "moved"
"""Topic of the queue as a whole: a message was claimed or left it, so positions changed."""


CANCELS = "cancels"
"""Topic of cancels: a message that runs is to be stopped."""


def message_topic(message_id: str) -> str:
    """Topic of one message: its log or its state has news."""
    return f"message:{message_id}"


EXACT_POSITION_LIMIT = 10_000
"""Positions up to here are counted, those behind are estimated."""

PAGE_TEXT_LENGTH = 4 * 1024 * 1024
"""Characters of contents and results after which a page of messages ends early."""

PAGE_LOG_LENGTH = 256 * 1024
"""Characters of event data after which a page of a log ends early."""

KEY_SECONDS = 24 * 3600
"""So long an Idempotency-Key stands for the request that it came with first."""

THROUGHPUT_MESSAGES = 50
"""The newest completed messages, whose times tell how long the next ones will take."""

MAX_CRASHES = 3
"""After this many lost leases a message fails, so that one which kills its worker cannot do so for ever."""


class AcceptStore(Protocol):
    """Messages come in."""

    def now(self) -> datetime:
        """The store's time, which dates all that is stored. It goes on when a host's or a server's clock is stepped.

        It never runs backwards, and an hour of it is an hour: leases, delays and ages hold whatever a clock does
        (tests/contract/test_clock_steps.py). A date that a caller gives is taken for one of the real world.
        """

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """Store messages as queued, in this order, each behind all of its thread; all of them or none.

        One transaction takes the next number of the thread, so that the order of a thread is the order in which its
        messages were accepted. Those ahead in the thread inherit a better rank (tests/contract/test_order.py). One that
        is not to run before a time is not ready before that, also when it has become the head of its thread.
        Returned with their queue positions, None for one that is delayed. Raises QueueFull when more than `max_queued`
        messages would be queued then; those that it would cancel count.

        With a `key` that came within KEY_SECONDS, nothing is stored and the answer of then is given, its messages as
        they were accepted. Raises KeyReused when the key came with another fingerprint
        (tests/contract/test_request_keys.py).

        A message finds its thread busy when it has unfinished messages, those before it in `new` included. Its
        `if_busy` says what it does then: REJECT raises ThreadBusy; INTERRUPT and ROLLBACK cancel them as `cancel` does
        with `running`, and ROLLBACK stores their ids, oldest first, as the message's `rollback`
        (tests/contract/test_double_texting.py).
        """


class ControlStore(Protocol):
    """What callers and operators do with messages that were accepted."""

    async def cancel(self, tenant: str, message_id: str, *, running: bool = False) -> Message:
        """Cancel a queued message; the next of its thread takes its place. Raises MessageNotFound, NotCancellable.

        With `running`, also one that is interrupted, at once, and one that is being processed: from here on it ends as
        cancelled, whatever its worker makes of it, and its worker is told by its next heartbeat. Subscribers of CANCELS
        are hinted at it. A second cancel changes nothing (tests/contract/test_cancel.py).
        """

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """Give a queued message another priority, with the rank that it would have had from its acceptance on.

        Those ahead in its thread inherit anew. Raises MessageNotFound, NotQueued.
        """

    async def resume(
        self, tenant: str, message_id: str, fence: int, value: str, *, key: RequestKey | None = None
    ) -> Accepted:
        """Answer what an interrupted message asks: it is queued again, as the head of its thread, with `resume_value`.

        `fence` is that of the message as the caller saw it, so that an answer meets the question it was given to; of
        several answers the first counts. The attempt that asked is refunded. The event `resumed` is appended. The `key`
        is as in `add`; its replay gives the message as it is now, without position. Raises MessageNotFound,
        NotInterrupted, KeyReused.
        """

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """Put failed messages back into the queue, each at the tail of its thread; all of them or none.

        They are put back in the order of their numbers, oldest first, whatever the order of the ids, so that those of
        one thread keep their order. They are returned in the order of the ids.

        Each has a new number, thread number and rank, as if it were accepted now, and no attempts, crashes or failure;
        its failed attempts stay listed. Its log goes on with one event `retry`, before which all others are dropped, as
        if they were pruned: ids are not used again. Raises MessageNotFound, NotFailed.
        """

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """Delete failed messages, all of them or none; the memory keys that nobody needs from here on.

        Raises MessageNotFound, NotFailed.
        """

    async def pause(self, paused: bool) -> None:
        """While the queue is paused, claims get nothing; what runs goes on, and messages are accepted."""


class AttemptStore(Protocol):
    """Messages are processed."""

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """Take up to `limit` ready messages of these agents, lowest rank first, each with attempt and fence raised.

        Only the first unfinished message of a thread is ever ready. Two claims never get the same message. The event
        `processing` is appended in the same transaction.
        """

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """End the attempt.

        `Completed`, `Failed` and `Cancelled` end the message with its terminal event and make the next one of its
        thread ready. `Retry` puts it back as the head of its thread, to be ready again after its delay; `Released` too,
        with the attempt refunded; readers are told by a `retry` event. `Interrupted` leaves the message as the head of
        its thread until `resume` or its time is over, with the event `interrupted`; an answer to an earlier question is
        forgotten. A message that was cancelled ends as cancelled by any outcome.
        `Failed` and `Retry` list the attempt as failed.
        Repeating a finish that ended the message changes nothing. Raises LeaseLost.
        """


class EventLog(Protocol):
    """The log of each message: ids 1..n, dense, written before they are shown."""

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """Append in order; returns the id of the last. Raises LeaseLost, and then none was appended."""

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """Events with an id above `after` and the message's state, as of one moment.

        Fewer than `limit` also when their data reach PAGE_LOG_LENGTH, but at least one when there is one.
        Raises MessageNotFound, also for another tenant's.
        """


class QueryStore(Protocol):
    """What there is, as of one moment each."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """The message, with its queue position while queued. Raises MessageNotFound, also for another tenant's."""

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """The first unfinished message of a thread, without its position; None without one."""

    async def list_messages(self, tenant: str, chosen: MessageFilter, page: Page) -> list[Message]:
        """The newest first, with their queue positions; the cursor is (number, "") of the last one seen.

        Fewer than `limit` also when their texts reach PAGE_TEXT_LENGTH, but at least one when there is one.
        """

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """The failed attempts of these messages, oldest first; those of lost workers are among them.

        An unknown message has none, nor has another tenant's.
        """

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """Failed messages by fingerprint, the kind that failed last first."""

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """Totals by state, and at most `limit` queued (in claim order) and processing messages (oldest first).

        Either list ends early when its texts reach PAGE_TEXT_LENGTH.
        """

    async def throughput(self) -> Throughput:
        """How fast the queue moves; the time is the mean of the THROUGHPUT_MESSAGES newest completed messages."""

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Newest activity first; the cursor is (last activity in milliseconds, thread id) of the last one seen."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Raises ThreadNotFound, also for another tenant's."""

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """In thread order, those numbered above `after`. Raises ThreadNotFound.

        Fewer than `limit` also when their texts reach PAGE_TEXT_LENGTH, but at least one when there is one.
        """


class UpkeepStore(Protocol):
    """Duties that every process may do at any time: their guards are in the statements."""

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """Take back all messages whose lease ran out: to the queue, or failed after `max_crashes`. Returns how many.

        Here and in `promote` the store first looks whether the clock was stepped. A message that was cancelled ends as
        cancelled. The others list the attempt as failed. Safe to run in every process at once: the guard is in the
        statement.
        """

    async def promote(self) -> int:
        """Make delayed messages ready that are due. Returns how many."""

    async def expire_interrupts(self) -> int:
        """Fail interrupted messages that nobody has answered in time; the next of each thread is ready. How many."""

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Drop all but the terminal event of messages that ended before.

        Returns of how many, and the memory keys that nobody needs from here on.
        """

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete messages that ended before, then threads without any. Returns how many and the memory keys to drop."""

    async def prune_keys(self) -> None:
        """Forget the keys of requests that are older than KEY_SECONDS."""

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """Forget workers that have not been heard of for so long."""


class WebhookStore(Protocol):
    """Deliveries: what the URLs that were given with messages are told.

    Whatever ends a message that has a `webhook_url` adds a delivery in the same transaction, with the id
    `{message id}.{number}`, if its `webhook_events` name that state. So does whatever interrupts it, with the id
    `{message id}.{number}.{event id}`. Deliveries are deleted with their message. See
    tests/contract/test_deliveries.py.
    """

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """Take pending deliveries that are due, the most overdue first, with `tries` raised.

        They are due again when the lease is over, so that a process which dies with them loses none.
        """

    async def settle_delivery(self, taken: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """Note what became of a try: due again in `next_in` seconds, else ended; delivered if it has no `error`.

        False when `taken` is no longer the newest claim: then nothing is written.
        """

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """Those of a message, oldest first; none for another tenant's."""

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Return deliveries of a tenant, the newest first, without their data.

        The cursor is (created at in milliseconds, id) of the last one seen. The work grows with `limit`, and with the
        deliveries of the message if one is named, and with nothing else.
        """

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """Make a delivery due at once, with no tries. Raises DeliveryNotFound, also for another tenant's."""


class LeaseRenewer(Protocol):
    """A connection of its own for heartbeats, used from one thread that agent code cannot block."""

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Show the worker as alive and extend these leases, in one statement.

        What is missing among the answer's fences is lost. A lease that ran out is not revived, and
        one that the worker does not name runs out, so that nothing is held for a run that nobody works on.
        """

    def stop(self, worker_id: str) -> None:
        """Take the worker off the list of live ones."""


class WorkerStore(Protocol):
    """The processes that claim messages."""

    def open_lease_renewer(self) -> AbstractContextManager[LeaseRenewer]:
        """A heart for the calling thread; closed on leaving."""

    async def list_workers(self) -> list[Worker]:
        """Workers as of their last heartbeat, oldest first."""


class Subscription(Protocol):
    """Hints on some topics. A hint may be lost or be nothing new: what counts is read from the store."""

    async def wait(self, timeout: float) -> bool:
        """True at once when there was a hint since the last call, else at the next hint; False at the timeout."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """Have this called at each hint from now on, instead of waiting; it may not subscribe, nor leave."""


class Notifier(Protocol):
    """Wake-ups across tasks and, where the backend can, across processes."""

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """Hints on these topics from now on."""

    def publish(self, *topics: str) -> None:
        """Wake this process's subscribers of these topics."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, where callers may care. Nobody asks which one it is."""

    name: str
    durable: bool
    promise: str


class Store(
    AcceptStore,
    ControlStore,
    AttemptStore,
    EventLog,
    QueryStore,
    UpkeepStore,
    WebhookStore,
    WorkerStore,
    Notifier,
    Protocol,
):
    """All ports over one database."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend promises."""

    async def open(self) -> None:
        """Connect and migrate. Raises StoreUnavailable, StoreIncompatible."""

    async def close(self) -> None:
        """Let go of all connections and threads; a second call does nothing."""

    async def queue_id(self) -> str:
        """Tells this queue from every other one, also from one that was made anew in its place."""

    async def ping(self) -> None:
        """Prove that the store answers. Raises StoreUnavailable."""
