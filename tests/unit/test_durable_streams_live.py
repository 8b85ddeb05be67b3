"""Live reads of Durable Streams: what ends them, what they tell of the queue, and logs of which a part is gone."""

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.streaming import KEEP_ALIVE
from app.errors import MessageNotFound
from app.events.fanout import Idle
from app.events.tail import Reset, WaitingUpdate
from app.models.events import Event, EventType
from app.models.messages import MessageState
from app.protocols.cut_runs import EventsGone
from app.protocols.durable_streams import message_stream
from app.protocols.durable_streams.forms import EVENTS, Segment
from app.protocols.durable_streams.live import LiveResponse
from app.protocols.durable_streams.message_stream import MessageStream
from app.protocols.durable_streams.places import Place, message_offset
from app.protocols.durable_streams.streams import Batch

SERVICES: Any = SimpleNamespace(access=None, recent_streams=None, stream_limits=None)
SEGMENTS = (Segment("m", [Event(1, EventType.PROCESSING, '{"attempt": 1}', 0)]),)
NOTHING = Batch((), Place(0, 0), is_newest=True)
WAITING = WaitingUpdate(0)


class Scripted:
    """A stream of a message whose readers are given these items, and an error at the end."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def offset_of(self, place: Place) -> str:
        return message_offset(place)

    async def follow(self, _: Place) -> AsyncGenerator[Any]:
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield item


async def frames_of(first: Batch, *items: Any) -> list[str]:
    """Return the bytes that a reader gets behind the first batch."""
    stream: Any = Scripted(*items)
    response = LiveResponse(SERVICES, stream, first, EVENTS, cursor=1)
    return [frame.decode() async for frame in response._frames()]


async def test_a_stream_that_is_closed_is_not_followed() -> None:
    assert await frames_of(NOTHING._replace(is_closed=True), AssertionError("it is followed")) == []


@pytest.mark.parametrize("error", [MessageNotFound("m"), EventsGone()])
async def test_a_gap_and_a_deletion_end_a_read_and_the_next_request_tells_why(error: Exception) -> None:
    (frame,) = await frames_of(NOTHING, Batch(SEGMENTS, Place(0, 1), is_newest=False), error)
    assert "streamClosed" not in frame


async def test_a_position_comes_behind_the_newest_offset_once() -> None:
    behind = Batch(SEGMENTS, Place(0, 1), is_newest=False)
    data, control, *comments = await frames_of(NOTHING, behind, WAITING, WAITING, Idle())
    assert '"upToDate"' not in data
    assert control.startswith("event: control\n")
    assert '"upToDate":true' in control
    assert comments == [": queued, position 0\n"] * 2 + [KEEP_ALIVE.decode()]


async def test_a_reader_in_the_middle_of_a_pruned_log_has_a_gap_and_one_at_its_beginning_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tail(*_: Any) -> AsyncGenerator[Any]:
        yield Reset(MessageState.COMPLETED, "")

    monkeypatch.setattr(message_stream, "tail_of", tail)
    stream = MessageStream(SERVICES, "default", "m")
    assert [item async for item in stream.follow(Place(0, 0))] == []
    with pytest.raises(EventsGone):
        _ = [item async for item in stream.follow(Place(0, 1))]
