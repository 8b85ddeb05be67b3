"""Finds messages of long conversations by their ids, so that a step does not walk all earlier messages.

LangGraph's reducer `add_messages` looks at all messages of a conversation at each call, several times in each step.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from operator import attrgetter
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, BaseMessageChunk, RemoveMessage
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph.message import add_messages

MAX_MESSAGES = 20_000
"""Indexes of conversations that do not run are dropped above this number of messages. One takes 0.1 KiB."""

CHECKED = 8
"""How many of the newest messages are looked at in each step: a node may change their ids in place."""

ID = attrgetter("id")


class KnownMessages:
    """A copy of a list that mostly grows.

    Python compares two lists of the same objects in a fortieth of the time that a walk takes. Lists whose ends are
    other objects are not compared: a comparison of content is slower than a walk.
    """

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def starts(self, messages: list[Any]) -> bool:
        """Return whether `messages` begins with the known messages. Then they all become known."""
        size = len(self.messages)
        self.messages += messages[size:]
        if _are_same(self.messages, messages):
            return True
        del self.messages[size:]
        return False

    def begins_with(self, messages: list[Any]) -> bool:
        """Return whether the known messages begin with `messages`."""
        behind = self.messages[len(messages) :]
        del self.messages[len(messages) :]
        found = _are_same(self.messages, messages)
        self.messages += behind
        return found


class MessageIndex:
    """The messages of one conversation by their ids. It follows a list that grows.

    Sync nodes run on threads, so calls may come from several threads.
    """

    def __init__(self) -> None:
        self._known = KnownMessages()
        self._positions: dict[str, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self._positions)

    def ids(self, messages: list[Any]) -> dict[str, int] | None:
        """Return the positions of these messages by their ids; None if they do not all have an id of their own."""
        with self._lock:
            return self._positions.copy() if self._is_of(messages) else None

    def add_ids(self, messages: list[Any], found: set[Any]) -> bool:
        """Add the ids of these messages to a set. Return False, and add nothing, unless this is already their index."""
        with self._lock:
            is_theirs = _are_same(self._known.messages, messages) and len(self._positions) == len(messages)
            if is_theirs:
                found.update(self._positions)
            return is_theirs

    def merge(self, left: Any, right: Any) -> Any:
        """Return the same as `add_messages`."""
        with self._lock:
            merged = self._appended(left, right)
        return add_messages(left, right) if merged is None else merged

    def _appended(self, left: Any, right: Any) -> list[Any] | None:
        """Return both lists as one; None if this is not certainly what `add_messages` returns."""
        new = right if type(right) is list else [right]
        if type(left) is not list or not all(map(_is_plain, map(type, new))) or not self._follow(left):
            return None
        for message in new:
            if message.id is None:
                message.id = str(uuid4())
        ids = list(map(ID, new))
        size = len(left)
        if len(set(ids)) < len(ids) or any(self._positions.get(each, size) < size for each in ids):
            return None
        self._cut(size)
        self._known.messages += new
        self._positions.update(zip(ids, range(size, size + len(ids)), strict=True))
        return [*left, *new]

    def _is_of(self, messages: list[Any]) -> bool:
        """Make this the index of exactly these messages. Return False if they cannot have one."""
        if not self._follow(messages):
            return False
        self._cut(len(messages))
        return len(self._positions) == len(messages) or self._build(messages)

    def _follow(self, messages: list[Any]) -> bool:
        """Make this the index of a list that begins with `messages`. Return False if it cannot have one."""
        size = len(messages)
        if size <= len(self._known.messages) and self._known.begins_with(messages):
            newest = range(max(size - CHECKED, 0), size)
            if all(self._positions.get(messages[at].id) == at for at in newest):
                return True
        return self._build(messages)

    def _build(self, messages: list[Any]) -> bool:
        size = len(messages)
        self._known, self._positions = KnownMessages(), {}
        if not all(map(_is_plain, set(map(type, messages)))):
            return False
        ids = list(map(ID, messages))
        positions = dict(zip(ids, range(size), strict=True))
        if len(positions) < size or None in positions:
            return False
        self._positions = positions
        return self._known.starts(messages)

    def _cut(self, size: int) -> None:
        """Remove what is behind the first `size` messages.

        An id that was changed in place stays. A message with that id is then merged by `add_messages`.
        """
        behind = self._known.messages[size:]
        for message in behind:
            self._positions.pop(message.id, None)
        del self._known.messages[size:]


INDEX: ContextVar[MessageIndex | None] = ContextVar("message_index", default=None)
"""The index of the conversation whose run the current task belongs to."""


class MessageIndexes:
    """The indexes of the conversations that ran last."""

    def __init__(self, max_messages: int = MAX_MESSAGES) -> None:
        self._max_messages = max_messages
        self._kept: OrderedDict[str, tuple[MessageIndex, int]] = OrderedDict()
        self._size = 0

    def take(self, memory_key: str) -> MessageIndex:
        """Return the index of a conversation for a run. It is empty if none is kept."""
        found = self._kept.pop(memory_key, None)
        if found is None:
            return MessageIndex()
        index, size = found
        self._size -= size
        return index

    @contextmanager
    def used(self, memory_key: str, index: MessageIndex) -> Iterator[None]:
        """Use an index in the current task, and keep it for the next run unless this one fails.

        A failed run may have changed messages in place.
        """
        INDEX.set(index)
        try:
            yield
        finally:
            INDEX.set(None)
        self.take(memory_key)
        self._kept[memory_key] = index, len(index)
        self._size += len(index)
        while self._size > self._max_messages:
            self.take(next(iter(self._kept)))

    def drop(self, memory_key: str) -> None:
        """Forget the index of a conversation."""
        self.take(memory_key)


def with_index(channels: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a graph's channels so that the channel `name` uses the index of its run in place of `add_messages`.

    A channel with another reducer stays as it is.
    """
    found = channels.get(name)
    if type(found) is not BinaryOperatorAggregate or found.operator is not add_messages:
        return channels
    quick: BinaryOperatorAggregate[Any] = BinaryOperatorAggregate(found.typ, _merge)
    quick.key = found.key
    return {**channels, name: quick}


def _merge(left: Any, right: Any) -> Any:
    index = INDEX.get()
    return add_messages(left, right) if index is None else index.merge(left, right)


def _is_plain(kind: type) -> bool:
    return issubclass(kind, BaseMessage) and not issubclass(kind, BaseMessageChunk | RemoveMessage)


def _are_same(one: list[Any], other: list[Any]) -> bool:
    if not one or not other:
        return len(one) == len(other)
    try:
        return one[0] is other[0] and one[-1] is other[-1] and one == other
    except Exception:  # noqa: BLE001  messages may have content that cannot be compared, such as arrays
        return False
