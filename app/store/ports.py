"""The ports of the store. Their docstrings are the law; `tests/contract` holds every backend to it.

One object implements all ports over one database, so that a change of state and its event are one transaction. Each
consumer asks for the narrow port that it needs. These rules hold for every method:

- A worker passes its `Lease` with every write. If the message has another fence by then, nothing is written and
  `LeaseLost` is raised (tests/contract/test_fences.py).
- A method returns after the commit. What it returned survives what the backend promises (`Capabilities.promise`).
- Every change of state writes its event in the same transaction. A log ends with its only terminal event
  (tests/contract/test_events.py).
- `StoreUnavailable` means that nothing was written and that a later try may succeed. `CommitUnknown` means that the
  store went away during a write and did not come back in time to say whether it was committed.
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
"""Topic of new work: a message became ready."""

MOVED = "moved"
"""Topic of the queue as a whole: a message was claimed or left it, so positions changed."""


CANCELS = "cancels"
"""Topic of cancels: an attempt is to be stopped."""


def message_topic(message_id: str) -> str:
    """Return the topic of one message: its log or its state has changed."""
    return f"message:{message_id}"


EXACT_POSITION_LIMIT = 10_000
"""Positions up to here are counted exactly, higher ones are estimated."""

PAGE_TEXT_LENGTH = 4 * 1024 * 1024
"""Characters of contents and results after which a page of messages ends early."""

PAGE_LOG_LENGTH = 256 * 1024
"""Characters of event data after which a page of a log ends early."""

KEY_SECONDS = 24 * 3600
"""Lifetime of an Idempotency-Key."""

THROUGHPUT_MESSAGES = 50
"""Number of completed messages whose run times are averaged to estimate the next ones."""

MAX_CRASHES = 3
"""Lost leases after which a message fails, so that a message that kills its worker is not retried for ever."""


class AcceptStore(Protocol):
    """Accept messages."""

    def now(self) -> datetime:
        """Return the store's time, which dates everything that is stored.

        It never runs backwards, and it goes on when the clock of a host or a server is stepped: leases, delays and ages
        hold (tests/contract/test_clock_steps.py). A date from a caller is claimed as a date of the real world.
        """

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """Store messages as queued, in this order, each at the tail of its thread; all of them or none.

        The next number of a thread is claimed in the same transaction. The order of a thread is therefore the order in
        which its messages were accepted. Messages ahead in the thread inherit a better rank
        (tests/contract/test_order.py). A message with a `run_at` or a delay does not become ready before that time,
        even as the head of its thread. Returns the messages with their queue positions, None for a delayed one. Raises
        QueueFull if more than `max_queued` messages would then be queued, including those that the new ones would
        cancel.

        If the same `key` came within the last KEY_SECONDS, nothing is stored and the earlier answer is returned, with
        its messages as they were accepted. Raises KeyReused if the key came with another fingerprint
        (tests/contract/test_request_keys.py).

        A thread is busy if it has unfinished messages, including earlier ones of `new`. `if_busy` says what happens
        then: REJECT raises ThreadBusy; INTERRUPT and ROLLBACK cancel them as `cancel` with `running` does, and ROLLBACK
        also stores their ids, oldest first, in the new message's `rollback` (tests/contract/test_double_texting.py).
        """


class ControlStore(Protocol):
    """Change messages that were accepted, for callers and operators."""

    async def cancel(self, tenant: str, message_id: str, *, running: bool = False) -> Message:
        """Cancel a queued message; the next one of its thread takes its place. Raises MessageNotFound, NotCancellable.

        With `running`, also cancel an interrupted message at once, and mark a processing one: it ends as cancelled
        whatever its outcome, its worker learns of it with the next heartbeat, and subscribers of CANCELS are hinted. A
        second cancel changes nothing (tests/contract/test_cancel.py).
        """

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """Give a queued message another priority, and the rank it would have had with this priority from the start.

        Messages ahead in its thread inherit again. Raises MessageNotFound, NotQueued.
        """

    async def resume(
        self, tenant: str, message_id: str, fence: int, value: str, *, key: RequestKey | None = None
    ) -> Accepted:
        """Answer an interrupted message: queue it again, as the head of its thread, with `value` as its `resume_value`.

        `fence` is the fence of the message as the caller read it, so that an answer reaches the question it was given
        to. The first of several answers counts. The attempt that asked is not counted. The event `resumed` is appended.
        `key` works as in `add`; a replay returns the message as it is now, without a position. Raises MessageNotFound,
        NotInterrupted, KeyReused.
        """

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """Put failed messages back into the queue, each at the tail of its thread; all of them or none.

        They go back in the order of their numbers, so that messages of one thread keep their order. They are returned
        in the order of `message_ids`.

        Each gets a new number, thread number and rank, as if it were accepted now, and loses its attempts, crashes and
        failure; its failed attempts stay listed. Its log goes on with the event `retry`; earlier events are dropped, as
        if they were pruned, and their ids are not used again. Raises MessageNotFound, NotFailed.
        """

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """Delete failed messages, all of them or none. Return the memory keys that are no longer needed.

        Raises MessageNotFound, NotFailed.
        """

    async def pause(self, paused: bool) -> None:
        """Pause or unpause the queue. While paused, claims return nothing; running attempts and accepting go on."""


class AttemptStore(Protocol):
    """Claim messages and end their attempts."""

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """Claim up to `limit` ready messages of these agents, lowest rank first; attempt and fence are raised by one.

        Only the first unfinished message of a thread is ever ready. Two claims never return the same message. The event
        `processing` is appended in the same transaction.
        """

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """End the attempt. Raises LeaseLost.

        `Completed`, `Failed` and `Cancelled` end the message with its terminal event and make the next message of its
        thread ready. `Retry` puts the message back as the head of its thread, ready again after its delay. `Released`
        does the same without counting the attempt. Both append a `retry` event. `Interrupted` leaves the message as the
        head of its thread until `resume` or until its time is over; it appends `interrupted` and drops the answer to an
        earlier question. A cancelled message ends as cancelled, whatever the outcome. `Failed` and `Retry` list the
        attempt as failed. Repeating a finish that ended the message changes nothing.
        """


class EventLog(Protocol):
    """Append to and read the log of each message. Ids are 1..n without gaps. An event is stored before it is shown."""

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """Append events in order. Return the id of the last. Raises LeaseLost if none was appended."""

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """Return events with ids above `after`, and the message's state, as of one moment.

        Returns fewer than `limit` also when their data reach PAGE_LOG_LENGTH, but at least one if there is one. Raises
        MessageNotFound, also for another tenant's message.
        """


class QueryStore(Protocol):
    """Read messages, threads and totals. Each method reads one moment."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message, with its position while queued. Raises MessageNotFound, also for another tenant's."""

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """Return the first unfinished message of a thread, without its position; None if there is none."""

    async def list_messages(self, tenant: str, chosen: MessageFilter, page: Page) -> list[Message]:
        """Return messages with their queue positions, newest first. The cursor is (number, "") of the last one seen.

        A page also ends before `limit` when its texts reach PAGE_TEXT_LENGTH. It has at least one message if any is
        left.
        """

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """Return the failed attempts of these messages by id, oldest first, including those of lost workers.

        An unknown message has none, and neither has another tenant's message.
        """

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """Return failed messages grouped by fingerprint, the group with the latest failure first."""

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """Return totals by state, queued messages in claim order, and processing messages, oldest first.

        Each list has at most `limit` messages, and ends early when its texts reach PAGE_TEXT_LENGTH.
        """

    async def throughput(self) -> Throughput:
        """Return how fast the queue moves. The run time is the mean of the last THROUGHPUT_MESSAGES completed ones."""

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Return threads, latest activity first. The cursor is (last activity in ms, id) of the last one seen."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound, also for another tenant's thread."""

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return messages of a thread in its order, those with thread numbers above `after`. Raises ThreadNotFound.

        Returns fewer than `limit` also when their texts reach PAGE_TEXT_LENGTH, but at least one if there is one.
        """


class UpkeepStore(Protocol):
    """Regular duties. Every process may run them at any time: their guards are in the statements."""

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """Take back messages whose lease ran out: requeue them, or fail them after `max_crashes`. Return how many.

        `rescue` and `promote` first check whether the clock was stepped. A cancelled message ends as cancelled; for the
        others the attempt is listed as failed.
        """

    async def promote(self) -> int:
        """Make delayed messages ready that are due. Return how many."""

    async def expire_interrupts(self) -> int:
        """Fail interrupted messages not answered in time; the next of each thread becomes ready. Return how many."""

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete all but the terminal event of messages that ended more than `older_than_seconds` ago.

        Returns the number of messages and the memory keys that are no longer needed.
        """

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete messages that ended more than `older_than_seconds` ago, then threads without messages.

        Returns the number of messages and the memory keys that are no longer needed.
        """

    async def prune_keys(self) -> None:
        """Delete request keys that are older than KEY_SECONDS."""

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """Delete workers without a heartbeat for so long."""


class WebhookStore(Protocol):
    """Deliver the news of messages to webhooks.

    When a message with a `webhook_url` ends, a delivery with the id `{message id}.{number}` is added in the same
    transaction, if its `webhook_events` name that state. An interrupt adds one with the id `{message
    id}.{number}.{event id}`. Deliveries are deleted with their message (tests/contract/test_deliveries.py).
    """

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """Claim pending deliveries that are due, the most overdue first, and raise their `tries` by one.

        A claimed delivery is due again when its lease ends, so none is lost with the process that claimed it.
        """

    async def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """Record a try: delivered if it has no `error`, else due again in `next_in` seconds, else failed for good.

        Returns False, and writes nothing, if `claimed` is no longer the newest claim.
        """

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """Return the deliveries of a message, oldest first; none for another tenant's message."""

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Return deliveries of a tenant without their data, newest first.

        The cursor is (created at in ms, id) of the last one seen. The work grows with `limit` and, if a message is
        named, with the deliveries of that message, and with nothing else.
        """

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """Make a delivery due at once, with no tries. Raises DeliveryNotFound, also for another tenant's delivery."""


class LeaseRenewer(Protocol):
    """Send heartbeats over a connection of its own, from a thread that agent code cannot block."""

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Show the worker as alive and extend these leases, in one statement.

        A lease that is missing from the answer's fences is lost. A lease that ran out is not revived. A lease that the
        worker does not name runs out, so that no message is held for a run that does not exist.
        """

    def stop(self, worker_id: str) -> None:
        """Remove the worker from the list of live workers."""


class WorkerStore(Protocol):
    """List the processes that claim messages, and renew their leases."""

    def open_lease_renewer(self) -> AbstractContextManager[LeaseRenewer]:
        """Return a lease renewer for the calling thread; leaving the context closes it."""

    async def list_workers(self) -> list[Worker]:
        """Return workers as of their last heartbeat, oldest first."""


class Subscription(Protocol):
    """Hints on some topics. A hint may be lost or bring nothing new: the store has the truth."""

    async def wait(self, timeout: float) -> bool:
        """Wait for a hint for up to `timeout` seconds. Return whether there was one since the last call."""

    def on_hint(self, call: Callable[[], None]) -> None:
        """Have `call` called at each hint from now on, instead of waiting. It may not subscribe or leave."""


class Notifier(Protocol):
    """Wake up other tasks and, if the backend can, other processes."""

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """Return a subscription to these topics; leaving the context ends it."""

    def publish(self, *topics: str) -> None:
        """Wake this process's subscribers of these topics."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The promises of a backend. Callers never ask which backend it is."""

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
        """Return what this backend promises."""

    async def open(self) -> None:
        """Connect and migrate. Raises StoreUnavailable, StoreIncompatible."""

    async def close(self) -> None:
        """Close all connections and threads. A second call does nothing."""

    async def queue_id(self) -> str:
        """Return an id that no other queue has, not even one that was created anew in this one's place."""

    async def ping(self) -> None:
        """Check that the store answers. Raises StoreUnavailable."""
