"""Forms of streams: how the events of messages become the bytes that readers get."""

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...clock import to_datetime
from ...models.events import Event
from ...text import rfc3339


class Segment(NamedTuple):
    """Consecutive events of a message."""

    message_id: str
    events: Sequence[Event]


class Form(NamedTuple):
    """The form of a stream.

    `body` returns the body of a read, `data` the lines of the event `data` with these events; empty for no event.
    """

    media_type: str
    body: Callable[[Sequence[Segment]], bytes]
    data: Callable[[Sequence[Segment]], bytes]


def json_body(segments: Sequence[Segment]) -> bytes:
    """Return the events as a JSON array in ASCII on one line, which ends with a newline."""
    texts = []
    for message_id, events in segments:
        begin = f'{{"message_id":{json.dumps(message_id)},"id":'
        texts += [
            f'{begin}{each.id},"at":"{rfc3339(to_datetime(each.at))}","type":"{each.type}","data":{each.data}}}'
            for each in events
        ]
    return f"[{','.join(texts)}]\n".encode("ascii")


def json_data(segments: Sequence[Segment]) -> bytes:
    """Return the events as one line of a server-sent event."""
    return b"data:" + json_body(segments)


EVENTS = Form("application/json", json_body, json_data)
"""Each event is a JSON object with the id of its message."""
