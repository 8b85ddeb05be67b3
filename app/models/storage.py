"""Storage in rows and bytes."""

from collections.abc import Sequence
from typing import NamedTuple

FIRST_PLACE = ""
"""The place at which every measurement begins."""


class MessageSizes(NamedTuple):
    """Messages and the events of their logs.

    `message_bytes` are those of the texts that callers and agents gave: content, options, metadata, results, outputs,
    errors, questions and answers. `event_bytes` are those of the data of events. All texts are counted in UTF-8.
    """

    messages: int = 0
    message_bytes: int = 0
    events: int = 0
    event_bytes: int = 0

    def plus(self, other: "MessageSizes") -> "MessageSizes":
        """Return the sum of both."""
        return MessageSizes(*(one + two for one, two in zip(self, other, strict=True)))


class MeasuredThread(NamedTuple):
    """A part of a thread, or all of it."""

    thread_id: str
    sizes: MessageSizes


class MeasuredThreads(NamedTuple):
    """Threads of a tenant in the order of the engine. `place` is where to continue; None at the end.

    The first thread may be the rest of the last one of the part before.
    """

    threads: Sequence[MeasuredThread]
    place: str | None


class MeasuredMessages(NamedTuple):
    """Messages without a thread, and their ids. `place` is where to continue; None at the end."""

    sizes: MessageSizes
    ids: Sequence[str]
    place: str | None


class MeasuredItems(NamedTuple):
    """Items of agents, and the bytes of their values. `place` is where to continue; None at the end."""

    items: int
    item_bytes: int
    place: str | None


class StorageArea(NamedTuple):
    """A part of what an engine uses up: a file, a table, memory.

    `bytes` and `rows` are None where the engine does not tell. `rows` may be the engine's estimate.
    """

    name: str
    bytes: int | None
    rows: int | None = None


class ThreadStorage(NamedTuple):
    """The storage of a thread. `memory_bytes` are those of what the agent remembers; None if the memory is away."""

    thread_id: str
    sizes: MessageSizes
    memory_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all of it, as far as it is known."""
        return self.sizes.message_bytes + self.sizes.event_bytes + (self.memory_bytes or 0)


class TenantStorage(NamedTuple):
    """The storage of a tenant. `sizes` has the messages of threads, too.

    `memory_bytes` are those of what agents remember; None if the memory is away. `largest` are the largest threads, the
    largest first, of `threads`.
    """

    threads: int = 0
    sizes: MessageSizes = MessageSizes()
    memory_bytes: int | None = 0
    items: int = 0
    item_bytes: int = 0
    largest: Sequence[ThreadStorage] = ()

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all of it, as far as it is known."""
        return self.sizes.message_bytes + self.sizes.event_bytes + (self.memory_bytes or 0) + self.item_bytes
