"""Keeps the lists of messages that were read or saved last, so that a step reads and saves only what is new."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from .message_lists import NOTHING_KNOWN, Dump, Encoded, KnownList, Load, is_message_list, missing, restored, split
from .ranges import Ranges, from_json, union

MAX_MESSAGES = 20_000
"""Idle conversations are dropped above this number of known messages. One message takes about 1.6 KiB."""

MIN_CONVERSATIONS = 8
"""This many of the conversations used last are kept, whatever their length: their runs may not have ended."""

TASK_MARK = ":"
"""Separates the name of a node from the id of its task in the namespace of a subgraph that keeps nothing."""


class Numbering(NamedTuple):
    """The numbers of a conversation's messages. `next` is above every number that was ever used."""

    id: int
    next: int


NO_NUMBERS = Numbering(0, 0)
"""The numbering of a conversation without lists of messages."""


def new_numbering() -> Numbering:
    """Return a numbering with a random id of at most 53 bits, so that every reader of JSON keeps it exactly."""
    return Numbering(secrets.randbits(53) | 1, 0)


class StoredLists(NamedTuple):
    """The lists in a checkpoint: the ranges of their numbers by channel."""

    numbering: int
    channels: Mapping[str, Ranges]

    @classmethod
    def of_json(cls, stored: Any) -> "StoredLists":
        """Return the lists in a JSON value of `as_json`."""
        return cls(stored["numbering"], {channel: from_json(each) for channel, each in stored["channels"].items()})

    def as_json(self) -> dict[str, Any]:
        """Return a JSON value."""
        return {"numbering": self.numbering, "channels": self.channels}

    @property
    def numbers(self) -> Ranges:
        """Return the numbers of all lists."""
        return union(self.channels.values())


class SplitValues(NamedTuple):
    """The parts of a checkpoint to save. `values` lacks the message lists, `added` has their unsaved messages."""

    values: Mapping[str, Any]
    lists: Mapping[str, KnownList]
    added: Mapping[int, Encoded]
    numbering: Numbering

    @property
    def stored(self) -> StoredLists | None:
        """Return what the checkpoint has in place of the lists; None if it has no list."""
        ranges = {channel: known.ranges for channel, known in self.lists.items()}
        return StoredLists(self.numbering.id, ranges) if ranges else None

    @property
    def next_number(self) -> int:
        """Return the number after those of the added messages."""
        return self.numbering.next + len(self.added)


def has_lists(values: Mapping[str, Any]) -> bool:
    """Return whether one of these values is a list whose messages are stored one by one."""
    return any(map(is_message_list, values.values()))


class Conversation:
    """The cached lists of a conversation. Hold `saving` while saving: subgraphs may save at the same time."""

    def __init__(self) -> None:
        self.numbering: Numbering | None = None
        self.attempt: tuple[int, int] | None = None
        self.saving = asyncio.Lock()
        self._lists: dict[tuple[str, str], KnownList] = {}
        self._changed: dict[str, set[int]] = {}

    def __len__(self) -> int:
        """Return the number of messages in all lists."""
        return sum(len(known.messages) for known in self._lists.values())

    def note_writes(self, namespace: str, writes: Iterable[tuple[str, Any]]) -> None:
        """Note the messages that a task writes: it may have changed older messages in place."""
        for _, value in writes:
            for each in value if type(value) is list else (value,):
                if issubclass(type(each), BaseMessage):  # `isinstance` would call its `__class__`
                    self._changed.setdefault(namespace, set()).add(id(each))

    def split(self, namespace: str, values: Mapping[str, Any], numbering: Numbering, dump: Dump) -> SplitValues:
        """Return the values to be saved with a checkpoint. Call `keep` after they were saved."""
        lists: dict[str, KnownList] = {}
        added: dict[int, Encoded] = {}
        for channel, value in values.items():
            if is_message_list(value):
                known = self._known(namespace, channel, numbering.id)
                changed = self._changed.get(namespace, ())
                lists[channel], new = split(value, known, numbering.next + len(added), dump, changed)
                added.update(new)
        rest = {channel: value for channel, value in values.items() if channel not in lists}
        return SplitValues(rest, lists, added, numbering)

    def keep(self, namespace: str, saved: SplitValues) -> None:
        """Note lists that were saved."""
        self._changed.pop(namespace, None)
        if saved.lists:
            self.use(Numbering(saved.numbering.id, saved.next_number))
            self._lists |= {(namespace, channel): known for channel, known in saved.lists.items()}

    def begin_read(self, namespace: str, stored: StoredLists) -> "ListsRead":
        """Begin to read the lists of a checkpoint."""
        known = {channel: self._known(namespace, channel, stored.numbering) for channel in stored.channels}
        return ListsRead(self, namespace, stored, known)

    def keep_read(self, namespace: str, numbering: Numbering, lists: Mapping[str, KnownList]) -> None:
        """Note lists that were read. The numbering's `next` may be lower than what is known."""
        known_next = self.numbering.next if self.numbering and self.numbering.id == numbering.id else 0
        self.use(Numbering(numbering.id, max(known_next, numbering.next)))
        self._lists |= {(namespace, channel): known for channel, known in lists.items()}

    def use(self, numbering: Numbering | None) -> None:
        """Note the numbering. Forget the lists of another numbering: the conversation was deleted and begun again."""
        if self.numbering is None or numbering is None or self.numbering.id != numbering.id:
            self._lists.clear()
        self.numbering = numbering

    def begin_turn(self) -> None:
        """Forget the lists of subgraphs that the earlier turns called."""
        self._lists = {place: known for place, known in self._lists.items() if TASK_MARK not in place[0]}
        self._changed.clear()

    def _known(self, namespace: str, channel: str, numbering: int) -> KnownList:
        """Return the last list of a channel. The first list of a subgraph often begins as the outer graph's does."""
        if self.numbering is not None and self.numbering.id != numbering:
            return NOTHING_KNOWN
        return self._lists.get((namespace, channel)) or self._lists.get(("", channel)) or NOTHING_KNOWN


class ListsRead(NamedTuple):
    """A read of the lists of a checkpoint.

    `known` has what was known of them when the read began: other reads of the conversation may end meanwhile.
    """

    conversation: Conversation
    namespace: str
    stored: StoredLists
    known: Mapping[str, KnownList]

    @property
    def missing(self) -> Ranges:
        """Return the numbers of the messages that must be read."""
        return union(missing(ranges, self.known[channel]) for channel, ranges in self.stored.channels.items())

    def end(self, read: Mapping[int, Encoded], load: Load, next_number: int = 0) -> dict[str, list[Any]]:
        """Return the lists, given the messages that were missing. Raises StateUnreadable.

        `next_number` is the numbering's, if it was read too.
        """
        lists = {
            channel: restored(ranges, self.known[channel], read, load)
            for channel, ranges in self.stored.channels.items()
        }
        self.conversation.keep_read(self.namespace, Numbering(self.stored.numbering, next_number), lists)
        return {channel: list(known.messages) for channel, known in lists.items()}


class KnownConversations:
    """The conversations used last."""

    def __init__(self, max_messages: int = MAX_MESSAGES) -> None:
        self._max_messages = max_messages
        self._conversations: OrderedDict[str, Conversation] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._size = 0
        """All of `_sizes`, which has the number of messages of each conversation at its last `shrink`."""

    def of(self, memory_key: str, attempt: tuple[int, int] | None = None) -> Conversation:
        """Return what is known of a conversation. `attempt` has message and fence of the attempt that uses it.

        Forget what an earlier attempt at the same message has known: it may have changed messages in place.
        """
        found = self._conversations.get(memory_key)
        if found is None or _is_repeated(found.attempt, attempt):
            found = self._conversations[memory_key] = Conversation()
        found.attempt = attempt or found.attempt
        self._conversations.move_to_end(memory_key)
        return found

    def drop(self, memory_keys: Iterable[str]) -> None:
        """Forget these conversations."""
        for key in memory_keys:
            self._conversations.pop(key, None)
            self._size -= self._sizes.pop(key, 0)

    def shrink(self, memory_key: str) -> None:
        """Drop the conversations that were not used for the longest time, while there are too many messages.

        `memory_key` names the conversation whose lists were read or saved. Only its messages are counted again.
        """
        if (changed := self._conversations.get(memory_key)) is not None:
            self._size += len(changed) - self._sizes.get(memory_key, 0)
            self._sizes[memory_key] = len(changed)
        while self._size > self._max_messages and len(self._conversations) > MIN_CONVERSATIONS:
            self.drop([next(iter(self._conversations))])


def _is_repeated(known: tuple[int, int] | None, attempt: tuple[int, int] | None) -> bool:
    return known is not None and attempt is not None and known[0] == attempt[0] and known != attempt
