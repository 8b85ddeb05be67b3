"""Accepts messages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ...models.audit import NewAudit
from ...models.limits import NO_LIMITS, Limits
from ...models.messages import Accepted, NewMessage, RequestKey


class AcceptStore(Protocol):
    """Accepts messages."""

    def now(self) -> datetime:
        """Return the store's time. It dates everything that is stored.

        The store's time never runs backwards. When the clock of a host or a server is stepped, the store's time goes on
        evenly. Leases, delays and ages therefore stay right (tests/contract/test_clock_steps.py). A `run_at` from a
        caller is a time of the real world.
        """

    async def add(
        self,
        new: Sequence[NewMessage],
        *,
        max_queued: int,
        max_queued_of_tenant: int | None = None,
        key: RequestKey | None = None,
        agents: frozenset[str] | None = None,
        audit: NewAudit | None = None,
        limits: Limits = NO_LIMITS,
    ) -> Accepted:
        """Store messages as queued, each at the end of its thread, in the order of `new`; all or none.

        The transaction also takes the next thread numbers. A thread is therefore in the order in which its messages
        were accepted. Messages ahead in the thread inherit a better rank (tests/contract/test_order.py). A message with
        a `run_at` or a delay becomes ready only after that time, even as the head of its thread. Returns the messages
        with their queue positions, None for a delayed message. Raises QueueFull if more than `max_queued` messages
        would then be queued, or TenantQueueFull for more than `max_queued_of_tenant` of the tenant (None: no
        limit). Messages that the new
        messages would cancel count as queued (tests/contract/test_accept.py).

        A thread belongs to the subject of its first message, or to none. A message with another subject is refused with
        ThreadNotFound, and nothing is cancelled for it. A message without a subject gets that of its thread
        (tests/contract/test_subjects.py).

        If the same `key` came within the last KEY_SECONDS, nothing is stored. The earlier answer is returned, with its
        messages as they were accepted. Raises KeyReused if the key came with another fingerprint, MessageDeleted if one
        of the messages was deleted with its thread (tests/contract/test_request_keys.py).

        `metadata` are kept with the message and merged into its thread's metadata, key by key: the newest value counts,
        and None removes the key. `thread_name` becomes the name of the thread (tests/contract/test_metadata.py).

        A message for a deleted thread, or for the draft of one, raises ThreadNotReady. `rollback` are stored with the
        message, before the ids that ROLLBACK adds; each id once. If `last_number` is not that of the thread, raises
        ThreadMoved (tests/contract/test_replacing.py).

        `aliases` are stored as further ids of the message. Raises AliasTaken if one is an alias or the id of another
        message of the tenant (tests/contract/test_aliases.py).

        A thread is busy if it has unfinished messages, including earlier messages of `new`. `if_busy` says what happens
        then. REJECT raises ThreadBusy, but cancels a single interrupted message, which only waits for a human.
        INTERRUPT and ROLLBACK cancel the unfinished messages, as `cancel` with `running` does. ROLLBACK also stores
        their ids, oldest first, in the new message's `rollback` (tests/contract/test_double_texting.py).

        Raises ThreadAsks, and cancels nothing, if a message of `new` has `behind_question` False and its thread waits
        for a human (tests/contract/test_double_texting.py).

        `agents` are the agents whose messages may be cancelled, None for all. If a message of another agent would have
        to be, the thread is busy: ThreadBusy is raised. `audit` is recorded if messages are cancelled, with their ids
        as targets. A long thread is cancelled in several transactions, each with its record.

        The messages count against `limits` in the same transaction: all processes together pass exactly what a limit
        allows, and what is not stored does not count (tests/contract/test_limits.py). Raises RateLimitExceeded or
        QuotaExceeded if a limit refuses the request for now, InvalidRequest if it would never pass. A replay does not
        count. Returns what the request has counted.
        """
