"""Stores each message of a conversation once. See docs/adr/0047.

A conversation numbers its messages. A checkpoint has the ranges of numbers of its lists in place of the messages. A
number is never used again, also after its message was deleted: another process may still know the earlier message.

Messages are compared by identity with the list that was read or saved last. The newest messages are also compared by
their content, since a node may change a message in place.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from operator import is_, ne
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from ..errors import StateUnreadable
from .encoding import quick_hash
from .ranges import Ranges, count, cut, joined, numbers_in, packed, union, without

CHECKED = 8
"""How many messages at the end of the last and of the new list are compared by their content at each save."""

MAX_RANGES = 256
"""A list with more ranges gets new numbers for all its messages."""

Encoded = tuple[str, bytes]
"""The name of an encoding and the encoded message."""

Dump = Callable[[Any], Encoded]
Load = Callable[[Encoded], Any]


class KnownList(NamedTuple):
    """A list as it is stored: its messages, their numbers, and hashes of their content.

    The hash of a message just read is that of its encoded content. The first check puts its `quick_hash` in the place
    of that, if there is one.
    """

    messages: Sequence[Any]
    ranges: Ranges
    hashes: Sequence[int]


NOTHING_KNOWN = KnownList((), (), ())


class SplitList(NamedTuple):
    """A list to be saved: what is known of it afterwards, and its messages that are not stored yet, by number."""

    known: KnownList
    added: Mapping[int, Encoded]


def is_message_list(value: Any) -> bool:
    """Return whether the messages of this value are stored one by one."""
    return type(value) is list and bool(value) and issubclass(type(value[0]), BaseMessage)


def split(
    messages: list[Any], known: KnownList, next_number: int, dump: Dump, changed: Collection[int] = ()
) -> SplitList:
    """Return which messages of a list are stored already. Number the others from `next_number` on.

    `changed` has the identities (`id()`) of messages that may have been changed in place.
    """
    if (appended := _appended(messages, known, next_number, dump, changed)) is not None:
        return appended
    checked = {id(message) for each in (known.messages, messages) for message in each[-CHECKED:]}.union(changed)
    newest = max(min(len(messages), len(known.messages)) - CHECKED, 0)
    start = min(_same_start(known.messages, messages), newest)
    if changed and not set(map(id, messages[:start])).isdisjoint(changed):
        start = 0
    stored: dict[int, tuple[int, int]] = {
        id(message): (number, hashed)
        for message, number, hashed in zip(
            islice(known.messages, start, None),
            numbers_in(cut(known.ranges, start, len(known.messages))),
            islice(known.hashes, start, None),
            strict=True,
        )
    }
    added: dict[int, Encoded] = {}
    numbers, hashes = [], list(known.hashes[:start])
    for message in messages[start:]:
        place = stored.get(id(message))
        if place is None or id(message) in checked:
            hashed = quick_hash(message)
            if place is None or hashed is None or hashed != place[1]:
                encoded = dump(message)
                if place is None or hash(encoded) != place[1]:
                    place = next_number + len(added), 0
                    added[place[0]] = encoded
                place = place[0], hash(encoded) if hashed is None else hashed
        numbers.append(place[0])
        hashes.append(place[1])
    ranges = joined(cut(known.ranges, 0, start), packed(numbers))
    if len(ranges) > MAX_RANGES and known is not NOTHING_KNOWN:
        return split(messages, NOTHING_KNOWN, next_number, dump)
    return SplitList(KnownList(list(messages), ranges, _integers(hashes)), added)


def _appended(
    messages: list[Any], known: KnownList, next_number: int, dump: Dump, changed: Collection[int]
) -> SplitList | None:
    """Return the same as `split` if messages were only added at the end; None otherwise, or if that is not certain."""
    size = len(known.messages)
    checked = max(size - CHECKED, 0)
    if not 0 < size <= len(messages) or not all(map(is_, known.messages, messages)):
        return None
    if any(map(ne, map(quick_hash, known.messages[checked:]), known.hashes[checked:])):
        return None
    new = messages[size:]
    if not _are_among(changed, known.messages[checked:], new) and not _are_new(changed, known.messages[:checked]):
        return None
    if not new:
        return SplitList(known, {})
    encoded = list(map(dump, new))
    hashes = [
        hash(each) if (hashed := quick_hash(message)) is None else hashed
        for message, each in zip(new, encoded, strict=True)
    ]
    ranges = joined(known.ranges, [(next_number, next_number + len(new))])
    if len(ranges) > MAX_RANGES:
        return None
    known = KnownList(list(messages), ranges, _integers(known.hashes, hashes))
    return SplitList(known, dict(enumerate(encoded, next_number)))


def _are_among(changed: Collection[int], *parts: Sequence[Any]) -> bool:
    """Return whether all changed messages are in these parts of a list."""
    return not changed or {id(message) for part in parts for message in part}.issuperset(changed)


def _are_new(changed: Collection[int], messages: Sequence[Any]) -> bool:
    """Return whether none of these messages may have been changed."""
    return set(map(id, messages)).isdisjoint(changed)


def _integers(*parts: Iterable[int]) -> Sequence[int]:
    """Return hashes in an array, which takes a copy of memory to copy and no reference of each integer."""
    found = array("q")
    for part in parts:
        found.extend(part)
    return found


def missing(ranges: Ranges, known: KnownList) -> Ranges:
    """Return the numbers whose messages are not known."""
    return () if ranges == known.ranges else without(union([ranges]), union([known.ranges]))


def restored(ranges: Ranges, known: KnownList, read: Mapping[int, Encoded], load: Load) -> KnownList:
    """Return the list of the messages with the numbers `ranges`, each taken from `read` or else `known`.

    Raises StateUnreadable if a message is missing.
    """
    if ranges == known.ranges:
        return known
    size = count(ranges)
    if ranges == cut(known.ranges, 0, size):  # an earlier state: a history is read from its newest state on
        return KnownList(known.messages[:size], ranges, known.hashes[:size])
    start = len(known.messages)
    numbers = list(numbers_in(cut(ranges, start, size)))
    found = {number: (load(encoded), hash(encoded)) for number, encoded in read.items()}
    if cut(ranges, 0, start) != known.ranges or not found.keys() >= set(numbers):
        start, numbers = 0, list(numbers_in(ranges))
        for number, message, hashed in zip(numbers_in(known.ranges), known.messages, known.hashes, strict=True):
            found.setdefault(number, (message, hashed))
    try:
        items = [found[number] for number in numbers]
    except KeyError as error:
        raise StateUnreadable(f"the message with the number {error} is missing") from None
    messages = [*known.messages[:start], *(message for message, _ in items)]
    return KnownList(messages, ranges, _integers(known.hashes[:start], (hashed for _, hashed in items)))


def _same_start(known: Sequence[Any], messages: Sequence[Any]) -> int:
    """Return how many messages at the start of both lists are the same objects."""
    shorter = min(len(known), len(messages))
    if all(map(is_, known, messages)):
        return shorter
    return next(index for index, (one, other) in enumerate(zip(known, messages, strict=False)) if one is not other)
