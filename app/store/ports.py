"""The ports of the store. `tests/contract` checks every backend against their docstrings.

One object implements all ports over one database. A change of state and its event are therefore one transaction. Each
consumer asks for the narrow port that it needs. These rules hold for every method:

- A worker passes its `Lease` with every write. If the message has another fence by then, the store writes nothing and
  raises `LeaseLost` (tests/contract/test_fences.py).
- A method returns after the commit. Its changes then survive what `Capabilities.promise` says.
- Every change of state writes its event in the same transaction. A log ends with its only terminal event
  (tests/contract/test_events.py).
- `StoreUnavailable` means that nothing was written and that a later try may succeed. `CommitUnknown` means that the
  connection broke during a write, and that the store cannot say whether the write was committed.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from ..models.agents import AgentDescription
from ..models.attempts import Beat, Claim, FailedAttempt, Lease, Outcome
from ..models.deliveries import Delivery, DeliveryAttempt, DeliveryFilter, DeliveryRecord
from ..models.events import EventPage, NewEvent
from ..models.memory import DroppedMemory
from ..models.messages import (
    Accepted,
    Alias,
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
from .handles import Capabilities, Subscription
from .limits import MAX_CRASHES

READY = "ready"
"""Topic of new work: a message became ready."""

MOVED = "moved"
"""Topic of queue positions: they have changed, for example by a claim."""

CANCELS = "cancels"
"""Topic of cancels: a worker has to stop an attempt."""


def message_topic(message_id: str) -> str:
    """Return the topic of one message. Its subscribers are hinted when the log or the state of the message changes."""
    return f"message:{message_id}"


class AcceptStore(Protocol):
    """Accepts messages."""

    def now(self) -> datetime:
        """Return the store's time. It dates everything that is stored.

        The store's time never runs backwards. When the clock of a host or a server is stepped, the store's time goes on
        evenly. Leases, delays and ages therefore stay right (tests/contract/test_clock_steps.py). A `run_at` from a
        caller is a time of the real world.
        """

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """Store messages as queued, each at the end of its thread, in the order of `new`; all or none.

        The transaction also takes the next thread numbers. A thread is therefore in the order in which its messages
        were accepted. Messages ahead in the thread inherit a better rank (tests/contract/test_order.py). A message with
        a `run_at` or a delay becomes ready only after that time, even as the head of its thread. Returns the messages
        with their queue positions, None for a delayed message. Raises QueueFull if more than `max_queued` messages
        would then be queued. Messages that the new messages would cancel count as queued.

        If the same `key` came within the last KEY_SECONDS, nothing is stored. The earlier answer is returned, with its
        messages as they were accepted. Raises KeyReused if the key came with another fingerprint
        (tests/contract/test_request_keys.py).

        `metadata` are kept with the message and merged into its thread's metadata, key by key: the newest value counts,
        and None removes the key. `thread_name` becomes the name of the thread (tests/contract/test_metadata.py).

        `aliases` are stored as further ids of the message. Raises AliasTaken if one is an alias or the id of another
        message of the tenant (tests/contract/test_aliases.py).

        A thread is busy if it has unfinished messages, including earlier messages of `new`. `if_busy` says what happens
        then. REJECT raises ThreadBusy, but cancels a single interrupted message, which only waits for a human.
        INTERRUPT and ROLLBACK cancel the unfinished messages, as `cancel` with `running` does. ROLLBACK also stores
        their ids, oldest first, in the new message's `rollback` (tests/contract/test_double_texting.py).
        """


class ControlStore(Protocol):
    """Changes accepted messages, for callers and operators."""

    async def cancel(self, tenant: str, message_id: str, *, running: bool = False) -> Message:
        """Cancel a queued message; the next message of its thread moves up. Raises MessageNotFound, NotCancellable.

        With `running`, the message may also be interrupted or processing. An interrupted message is cancelled at once.
        A processing message is marked, and ends as cancelled whatever its outcome. Its worker learns of the cancel with
        the next heartbeat, and subscribers of CANCELS are hinted. A second cancel changes nothing
        (tests/contract/test_cancel.py).
        """

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """Give a queued message another priority, and the rank it would have had with this priority from the start.

        Settles its thread. Raises MessageNotFound, NotQueued.
        """

    async def resume(
        self,
        tenant: str,
        message_id: str,
        fence: int,
        value: str,
        *,
        key: RequestKey | None = None,
        alias: str | None = None,
    ) -> Accepted:
        """Answer an interrupted message: queue it again as the head of its thread, with `value` as its `resume_value`.

        `fence` is the fence of the message as the caller read it. If the message has another fence by now, the answer
        is refused. Only the first of several answers is accepted. The attempt that asked is not counted. The event
        `resumed` is appended. `key` works as in `add`, but a replay returns the message as it is now, without a
        position. `alias` becomes a further id of the message, from the event `resumed` on. An alias that already names
        the message is not changed. Raises MessageNotFound, NotInterrupted, KeyReused, AliasTaken.
        """

    async def requeue(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """Put failed messages back into the queue, each at the end of its thread; all of them or none.

        They go back in the order of their numbers, so messages of one thread keep their order. Returns the messages in
        the order of `message_ids`.

        Each message gets a new number, thread number and rank, as if it were accepted now. Its attempts, crashes and
        failure are reset, but its failed attempts stay listed. Its log goes on with the event `retry`. Earlier events
        are deleted, as by `prune_logs`, and their ids are not used again. Raises MessageNotFound, NotFailed.
        """

    async def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """Delete failed messages, all of them or none. Return the memory keys that are no longer needed.

        Raises MessageNotFound, NotFailed.
        """

    async def pause(self, paused: bool) -> None:
        """Pause the queue or continue it. While paused, `claim` returns nothing; running attempts and `add` go on."""


class AttemptStore(Protocol):
    """Claims messages and ends their attempts."""

    async def claim(self, worker_id: str, agents: Sequence[str], limit: int, *, lease_seconds: float) -> list[Claim]:
        """Claim up to `limit` ready messages of these agents, lowest rank first.

        A claim adds 1 to the message's `attempt` and raises its fence. Only the first unfinished message of a thread is
        ever ready. Two claims never return the same attempt. The event `processing` is appended in the same
        transaction.
        """

    async def finish(self, lease: Lease, outcome: Outcome) -> None:
        """End the attempt of a lease. Raises LeaseLost.

        `Completed`, `Failed` and `Cancelled` end the message with its terminal event and make the next message of its
        thread ready. `Retry` puts the message back as the head of its thread, ready again after its delay. `Released`
        does the same without counting the attempt. `Retry` and `Released` append a `retry` event. `Interrupted` leaves
        the message as the head of its thread until `resume`, or until the question expires. It appends `interrupted`
        and deletes the answer to an earlier question. A cancelled message ends as cancelled, whatever the outcome.
        `Failed` and `Retry` list the attempt as failed. Repeating a finish that ended the message changes nothing.
        """


class EventLog(Protocol):
    """Appends to message logs and reads them. Ids are 1..n without gaps. An event is stored before it is shown."""

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """Append events in order and return the id of the last event. Raises LeaseLost, and then appends nothing."""

    async def read(self, tenant: str, message_id: str, *, after: int, limit: int) -> EventPage:
        """Return up to `limit` events with ids above `after`, and the message's state, from one snapshot.

        Returns fewer events when their data reach PAGE_LOG_LENGTH, but at least one if any is left. Raises
        MessageNotFound, also for another tenant's message.
        """


class QueryStore(Protocol):
    """Reads messages, threads and totals. Each method but `list_messages` reads one snapshot.

    Lists of messages do not read `options`, which may have megabytes. Their messages have the default options.
    """

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message, with its position while it is queued.

        Raises MessageNotFound, also for another tenant's message.
        """

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """Return the first unfinished message of a thread, without its position; None if there is none."""

    async def find_alias(self, tenant: str, alias: str) -> Alias | None:
        """Return the message of the tenant that an alias names; None if there is none, or its message was deleted."""

    async def list_aliases(self, tenant: str, message_id: str) -> list[str]:
        """Return the aliases of a message in the order of their first events, then by name; none for an unknown one."""

    async def list_messages(self, tenant: str, chosen: MessageFilter, page: Page) -> list[Message]:
        """Return messages with their queue positions, newest first.

        The cursor is (number, "") of the last message seen. A page also ends before `limit` when its texts reach
        PAGE_TEXT_LENGTH. It has at least one message if any is left.
        """

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """Return the failed attempts of these messages by message id, oldest first, including attempts of lost workers.

        The list of an unknown message, or of another tenant's message, is empty.
        """

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """Return failed messages grouped by fingerprint, the group with the latest failure first."""

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """Return totals by state, queued messages in claim order, and processing messages, oldest first.

        Each list has at most `limit` messages. It ends early when its texts reach PAGE_TEXT_LENGTH.
        """

    async def throughput(self) -> Throughput:
        """Return slots, running messages and the mean run time of the last THROUGHPUT_MESSAGES completed messages."""

    async def list_threads(self, tenant: str, page: Page) -> list[Thread]:
        """Return threads, latest activity first. The cursor is (last activity in ms, id) of the last thread seen."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound, also for another tenant's thread."""

    async def list_thread_messages(self, tenant: str, thread_id: str, *, after: int, limit: int) -> list[Message]:
        """Return the messages of a thread with thread numbers above `after`, in thread order. Raises ThreadNotFound.

        Returns at most `limit` messages. Returns fewer when their texts reach PAGE_TEXT_LENGTH, but at least one if any
        is left.
        """


class UpkeepStore(Protocol):
    """Runs regular duties. Every process may run them at any time, since their statements check each message again."""

    async def rescue(self, *, max_crashes: int = MAX_CRASHES) -> int:
        """Take back messages whose leases ran out. Return how many.

        A message goes back to the queue, or fails after `max_crashes` lost leases, and the attempt is listed as failed.
        A cancelled message ends as cancelled instead. `rescue` and `promote` first check whether the clock was stepped.
        """

    async def promote(self) -> int:
        """Make delayed messages ready when their `run_at` has come. Return how many."""

    async def expire_interrupts(self) -> int:
        """Fail interrupted messages not answered in time; promote the next of each thread. Return how many failed."""

    async def prune_logs(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete all but the terminal event of messages that ended more than `older_than_seconds` ago.

        Returns the number of messages, at most `limit`, and the memory keys that are no longer needed.
        """

    async def prune_messages(self, *, older_than_seconds: float, limit: int) -> tuple[int, list[str]]:
        """Delete messages that ended more than `older_than_seconds` ago, then threads without messages.

        Returns the number of messages, at most `limit`, and the memory keys that are no longer needed.
        """

    async def list_dropped_memories(self, limit: int) -> list[DroppedMemory]:
        """Return up to `limit` memories that `purge`, `prune_logs` or `prune_messages` dropped and that still exist.

        A deletion lists them in its own transaction. A memory is left out while it is needed again: its thread has
        messages again, or its message was requeued (tests/contract/test_dropped_memories.py).
        """

    async def settle_dropped_memories(self, memories: Sequence[DroppedMemory]) -> None:
        """Take deleted memories off the list. Memories that are not listed change nothing."""

    async def prune_keys(self) -> None:
        """Delete request keys that are older than KEY_SECONDS."""

    async def prune_workers(self, *, silent_for_seconds: float) -> None:
        """Delete workers without a heartbeat for `silent_for_seconds`."""


class WebhookStore(Protocol):
    """Stores deliveries. A delivery brings an event of a message to its webhook.

    When a message enters a state in its `webhook_events`, the same transaction adds a delivery. Its id is `{message
    id}.{number}` for a terminal state, and `{message id}.{number}.{event id}` for an interrupt. Deliveries are deleted
    with their message (tests/contract/test_deliveries.py).
    """

    async def claim_deliveries(self, limit: int, *, lease_seconds: float) -> list[Delivery]:
        """Claim pending deliveries that are due, the most overdue first, and add 1 to their `tries`.

        A claimed delivery is due again when its lease ends, even if the process that claimed it has died.
        """

    async def settle_delivery(self, claimed: Delivery, attempt: DeliveryAttempt, *, next_in: float | None) -> bool:
        """Record a try of a claimed delivery. Return False, and write nothing, if `claimed` is not the newest claim.

        If `next_in` is None, the delivery ends: as failed if `attempt` has an error, else as delivered. Otherwise the
        delivery is due again in `next_in` seconds.
        """

    async def list_deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """Return the deliveries of a message, oldest first. The list is empty for another tenant's message."""

    async def find_deliveries(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Return deliveries of a tenant without their data, newest first.

        The cursor is (created at in ms, id) of the last delivery seen. The work grows only with `limit` and, if
        `chosen` names a message, with the number of its deliveries.
        """

    async def replay_delivery(self, tenant: str, delivery_id: str) -> Delivery:
        """Make a delivery due at once, with 0 tries. Raises DeliveryNotFound, also for another tenant's delivery."""


class LeaseRenewer(Protocol):
    """Sends heartbeats over its own connection, from a thread that agent code cannot block."""

    def beat(self, worker: Worker, leases: Collection[Lease], *, lease_seconds: float) -> Beat:
        """Record a heartbeat of the worker and extend these leases, in one transaction.

        A lease that is missing in `Beat.held` is lost. A lease that ran out is not revived. If a lease of the worker is
        missing in `leases`, it runs out. No message is therefore held for a run that does not exist.
        """

    def stop(self, worker_id: str) -> None:
        """Remove the worker from the list of live workers."""


class WorkerStore(Protocol):
    """Lists the processes that claim messages, renews their leases, and keeps descriptions of their agents."""

    def open_lease_renewer(self) -> AbstractContextManager[LeaseRenewer]:
        """Return a lease renewer for the calling thread; leaving the context closes it."""

    async def list_workers(self) -> list[Worker]:
        """Return workers as of their last heartbeat, oldest first."""

    async def describe_agents(self, descriptions: Sequence[AgentDescription]) -> None:
        """Store descriptions. Each replaces an earlier description with its name.

        The names must differ (tests/contract/test_agent_descriptions.py).
        """

    async def list_agents(self) -> list[AgentDescription]:
        """Return the newest description of each agent, by name."""


class Notifier(Protocol):
    """Wakes up other tasks and, if the backend can, other processes."""

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """Return a subscription to these topics. Leaving the context ends it."""

    def publish(self, *topics: str) -> None:
        """Wake the subscribers of these topics in this process."""


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
        """Return the id of this queue. A queue that is created again in the same place gets another id."""

    async def ping(self) -> None:
        """Check that the store answers. Raises StoreUnavailable."""
