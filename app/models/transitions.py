"""Changes of state of messages, of workers and of the queue, in the order of their commits."""

from enum import StrEnum


class TransitionType(StrEnum):
    """The kinds of changes. Those of messages come first."""

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
