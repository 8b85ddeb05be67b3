"""Places in streams, and their offsets: texts that sort as the places do."""

import re
from typing import NamedTuple

from ...api.streaming import MAX_EVENT_ID
from .errors import invalid_offset

BEGINNING = "-1"
NOW = "now"
"""Offsets that the protocol reserves."""

_OF_MESSAGE = re.compile(r"\d{19}", re.ASCII)
_OF_THREAD = re.compile(r"(\d{12})_(\d{19})_([0-9a-f]{1,16})", re.ASCII)


class Place(NamedTuple):
    """The place behind an event of a message. `event` 0 is the beginning of the message.

    `message` is the message's number in its thread. It is 0 in the stream of a message.
    """

    message: int
    event: int


def message_offset(place: Place) -> str:
    """Return the offset of a place in the stream of a message."""
    return f"{place.event:019}"


def message_place(offset: str) -> Place:
    """Return the place of an offset in the stream of a message. Raises InvalidRequest."""
    if _OF_MESSAGE.fullmatch(offset) is None or int(offset) > MAX_EVENT_ID:
        raise invalid_offset("it is no offset of the stream of a message")
    return Place(0, int(offset))


def thread_offset(place: Place, tag: str) -> str:
    """Return the offset of a place in the stream of a thread. `tag` tells the thread from others with its id."""
    return f"{place.message:012}_{place.event:019}_{tag}"


def thread_place(offset: str) -> tuple[Place, str]:
    """Return the place of an offset in the stream of a thread, and the thread's tag. Raises InvalidRequest."""
    found = _OF_THREAD.fullmatch(offset)
    if found is None or int(found[2]) > MAX_EVENT_ID:
        raise invalid_offset("it is no offset of the stream of a thread")
    number, event, tag = found.groups()
    return Place(int(number), int(event)), tag
