"""Hints that wake tasks in this and other processes."""

from contextlib import AbstractContextManager
from typing import Protocol

from ..handles import Subscription

READY = "ready"
"""Topic of new work: a message became ready."""

MOVED = "moved"
"""Topic of queue positions: they have changed, for example by a claim."""

CHANGED = "changed"
"""Topic of changes that do not move the queue, such as those of agents. MOVED has the others."""

CANCELS = "cancels"
"""Topic of cancels: a worker has to stop an attempt."""

WORKERS = "workers"
"""Topic of drained workers: a worker was asked to drain, or to claim messages again."""

ACCESS = "access"
"""Topic of API keys: one was added, rotated or revoked."""


def message_topic(message_id: str) -> str:
    """Return the topic of one message. Its subscribers are hinted when the log or the state of the message changes."""
    return f"message:{message_id}"


class Notifier(Protocol):
    """Wakes up other tasks and, if the backend can, other processes."""

    def subscribe(self, *topics: str) -> AbstractContextManager[Subscription]:
        """Return a subscription to these topics. Leaving the context ends it."""

    def publish(self, *topics: str) -> None:
        """Wake the subscribers of these topics in this process."""
