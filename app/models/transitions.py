"""Changes of messages, threads, workers, agents and the queue, in the order of their commits."""

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from .messages import MessageState


class TransitionType(StrEnum):
    """The kinds of changes. Those without a dot are changes of messages."""

    ACCEPTED = "accepted"
    PROCESSING = "processing"
    RETRY = "retry"
    RELEASED = "released"
    LOST = "lost"
    INTERRUPTED = "interrupted"
    RESUMED = "resumed"
    REQUEUED = "requeued"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PRIORITY = "priority"
    PURGED = "purged"
    THREAD_DELETED = "thread.deleted"
    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"
    WORKER_STARTED = "worker.started"
    WORKER_LEFT = "worker.left"
    WORKER_LOST = "worker.lost"
    WORKER_DRAINING = "worker.draining"
    WORKER_DRAINED = "worker.drained"
    WORKER_RESUMED = "worker.resumed"
    AGENT_CHANGED = "agent.changed"
    AGENT_REMOVED = "agent.removed"


SERVER = ""
"""The tenant of changes that concern the whole server: of the queue, of workers, of agents."""

STATES = MappingProxyType(
    {
        TransitionType.ACCEPTED: MessageState.QUEUED,
        TransitionType.PROCESSING: MessageState.PROCESSING,
        TransitionType.RETRY: MessageState.QUEUED,
        TransitionType.RELEASED: MessageState.QUEUED,
        TransitionType.LOST: MessageState.QUEUED,
        TransitionType.INTERRUPTED: MessageState.INTERRUPTED,
        TransitionType.RESUMED: MessageState.QUEUED,
        TransitionType.REQUEUED: MessageState.QUEUED,
        TransitionType.COMPLETED: MessageState.COMPLETED,
        TransitionType.FAILED: MessageState.FAILED,
        TransitionType.CANCELLED: MessageState.CANCELLED,
        TransitionType.PRIORITY: MessageState.QUEUED,
    }
)
"""The state of the message after each kind of change. A purged message has none."""


class Transition(NamedTuple):
    """A change. `cursor` is its place in the log, `at` the store's time in milliseconds.

    Fields that its kind does not have are None. `before` is the state of the message before the change, None for a new
    one. `error_code` says why a message failed.
    """

    cursor: str
    at: int
    tenant: str
    type: TransitionType
    message_id: str | None = None
    thread_id: str | None = None
    agent: str | None = None
    priority: str | None = None
    before: str | None = None
    error_code: str | None = None
    worker_id: str | None = None

    @property
    def state(self) -> MessageState | None:
        """Return the state of the message after the change, None if there is no message any more."""
        return STATES.get(self.type)


class TransitionPage(NamedTuple):
    """Changes behind a cursor, read in one snapshot.

    `last` is the cursor behind which to continue. `missed` tells that changes behind the cursor are no longer kept, or
    that the cursor is of another log. The page then begins with the oldest change that is kept. With `whole`, there
    were no more changes. With `newer`, there are some that can be read in a moment.
    """

    transitions: list[Transition]
    last: str
    missed: bool
    whole: bool
    newer: bool = False
