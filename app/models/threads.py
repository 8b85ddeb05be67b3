"""Changes of threads, and where a forked thread came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from .visibility import EVERYTHING, Visibility

MAX_TTL_MINUTES = 52_560_000.0
"""Highest TTL of a thread: a hundred years."""

MINUTE_MS = 60_000


def ttl_in_ms(minutes: float | None) -> int | None:
    """Return a TTL in milliseconds, at least 1; None for none."""
    return None if minutes is None else max(1, round(minutes * MINUTE_MS))


class ThreadStatus(StrEnum):
    """The state of a conversation, by its messages.

    - `interrupted`: a message waits for a human.
    - `busy`: messages are queued or processing, and none waits for a human.
    - `error`: all messages have ended, and the one that ended last has failed.
    - `idle`: none of these.
    """

    IDLE = "idle"
    BUSY = "busy"
    INTERRUPTED = "interrupted"
    ERROR = "error"

    @classmethod
    def of(cls, states: Mapping[Any, int], last_ended: str | None) -> "ThreadStatus":
        """Return the status for counts of messages by state, and the state of the message that ended last.

        A failed message that was deleted does not count. SQL stores compute the same in a column of `threads`.
        """
        if states["interrupted"]:
            return cls.INTERRUPTED
        if states["queued"] or states["processing"]:
            return cls.BUSY
        return cls.ERROR if last_ended == "failed" and states["failed"] else cls.IDLE


class ThreadSort(StrEnum):
    """The times by which threads are listed."""

    UPDATED = "updated"  # the last activity
    CREATED = "created"


class ThreadOrder(NamedTuple):
    """The order of a list of threads. Threads with the same time are in the order of their ids."""

    by: ThreadSort = ThreadSort.UPDATED
    descending: bool = True


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """Selects threads that match all given fields. None means any value. `metadata` works as in `MessageFilter`."""

    ids: frozenset[str] | None = None
    status: ThreadStatus | None = None
    metadata: Mapping[str, str] | None = None
    visible: Visibility = EVERYTHING


EVERY_THREAD = ThreadFilter()
LATEST_FIRST = ThreadOrder()


class ForkSource(BaseModel):
    """Where a forked thread came from."""

    model_config = ConfigDict(frozen=True)

    thread_id: str
    checkpoint_id: str = Field(description="The checkpoint of that thread whose state the fork began with.")
    message_id: str | None = Field(None, description="The message whose run had made that state.")
    agent: str = Field(description="The agent that made the state. The fork's states are read through it.")


class MemoryRight(NamedTuple):
    """The right of a change to write to the agents' memory of a thread: a fence below those of all later attempts.

    `rolled_back` has the ids of messages whose steps the thread's next message will make the agent forget.
    """

    fence: tuple[int, int]
    rolled_back: tuple[str, ...] = ()


class ThreadChange(NamedTuple):
    """A change to a thread. `names` has the new name, None to remove it; an empty tuple keeps the name.

    `metadata` are merged: None removes a key. `ttls` has the new TTL in minutes as `names` has the name.
    """

    names: tuple[str | None, ...] = ()
    metadata: Mapping[str, Any] | None = None
    ttls: tuple[float | None, ...] = ()

    @property
    def ttl_ms(self) -> int | None:
        """Return the new TTL in milliseconds, None if there is none."""
        return ttl_in_ms(self.ttls[0] if self.ttls else None)


class NewThread(NamedTuple):
    """The origin, name, metadata, subject and TTL in minutes that a thread without messages begins with.

    `source` None means that it is no fork.
    """

    source: ForkSource | None
    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    subject: str | None = None
    ttl: float | None = None

    @property
    def ttl_ms(self) -> int | None:
        """Return the TTL in milliseconds, None if there is none."""
        return ttl_in_ms(self.ttl)

    @property
    def source_json(self) -> str | None:
        """Return the source as JSON, None for no fork."""
        return None if self.source is None else self.source.model_dump_json()


class Turn(NamedTuple):
    """A checkpoint in the agents' memory: the message whose run made it (None if unknown), and its time.

    `begins` tells whether it began the conversation.
    """

    checkpoint_id: str
    message_id: str | None
    created_at: datetime
    begins: bool
