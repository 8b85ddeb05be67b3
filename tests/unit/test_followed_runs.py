"""A reader of a run who gets a long page."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from app.events.fanout import StoredEvents
from app.events.tail import WaitingUpdate
from app.models.events import Event, EventType
from app.protocols import run_streams
from app.protocols.run_streams import PART_EVENTS, followed

PAGE = StoredEvents([Event(number, EventType.CHUNK, "{}", 0) for number in range(1, 3 * PART_EVENTS + 2)])


class Reader:
    """Notes the events that it is given, and how often others have had their turn by then."""

    def __init__(self) -> None:
        self.turns = 0
        self.given: list[tuple[StoredEvents, int]] = []

    async def count_turns(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    def has_ended(self) -> bool:
        return bool(self.given) and self.given[-1][0].events[-1].id == PAGE.events[-1].id

    def frames_of(self, stored: StoredEvents) -> bytes:
        self.given.append((stored, self.turns))
        return b"frames"

    def waiting(self, update: WaitingUpdate) -> bytes:
        raise AssertionError(update)


async def test_others_have_their_turn_between_the_parts_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(*_: Any) -> AsyncGenerator[StoredEvents]:
        yield PAGE

    run: Any = type("Run", (), {"message": type("Message", (), {"id": "1"})})
    services: Any = None
    monkeypatch.setattr(run_streams, "tail_of", page)
    caller: Any = type("Caller", (), {"tenant": "default"})
    one, other = Reader(), Reader()
    others = asyncio.create_task(one.count_turns())
    frames = [frame async for frame in followed(services, caller, run, one, after=0)]
    others.cancel()
    assert frames == [b"frames"] * 4
    assert [event for part, _ in one.given for event in part.events] == list(PAGE.events)
    turns = [turn for _, turn in one.given]
    assert turns == sorted(set(turns))
    assert [frame async for frame in followed(services, caller, run, other, after=0)] == frames
    assert [part for part, _ in other.given] == [part for part, _ in one.given], "readers share the parts"
