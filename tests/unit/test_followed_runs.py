"""Readers of runs: a long page, and logs of which a part is gone."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from app.errors import AgentQueueError
from app.events.fanout import StoredEvents
from app.events.tail import Reset, TailItem, WaitingUpdate
from app.models.events import Event, EventType
from app.models.messages import MessageState
from app.protocols import run_streams
from app.protocols.a2a.dialects import DIALECTS
from app.protocols.a2a.projection import Progress as TaskProgress
from app.protocols.a2a.projection import TaskView, View
from app.protocols.a2a.streams import TaskReader
from app.protocols.agui.projection import Progress as RunProgress
from app.protocols.agui.projection import RunView
from app.protocols.agui.streams import AgUiReader, Named
from app.protocols.ai_sdk.projection import ChatView
from app.protocols.ai_sdk.projection import Progress as PageProgress
from app.protocols.ai_sdk.streams import ChatReader as PageReader
from app.protocols.openai.chat import ChatReader as CompletionReader
from app.protocols.openai.chat_projection import ChatView as CompletionView
from app.protocols.openai.response_projection import Progress, ResponseView
from app.protocols.openai.response_streams import ResponseReader
from app.protocols.run_streams import PART_EVENTS, RunReader, followed

PAGE = StoredEvents([Event(number, EventType.CHUNK, "{}", 0) for number in range(1, 3 * PART_EVENTS + 2)])


class Reader:
    """Notes the events that it is given, and how often others have had their turn by then."""

    def __init__(self, frames: bytes = b"frames") -> None:
        self.turns = 0
        self.frames = frames
        self.given: list[tuple[StoredEvents, int]] = []

    async def count_turns(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)

    def has_ended(self) -> bool:
        return bool(self.given) and self.given[-1][0].events[-1].id == PAGE.events[-1].id

    def frames_of(self, stored: StoredEvents) -> bytes:
        self.given.append((stored, self.turns))
        return self.frames

    def waiting(self, update: WaitingUpdate) -> bytes:
        raise AssertionError(update)

    def can_skip(self) -> bool:
        raise AssertionError

    def cut_off(self, error: AgentQueueError) -> bytes:
        raise AssertionError(error)


def replace_tail(monkeypatch: pytest.MonkeyPatch, *items: TailItem) -> None:
    async def tail(*_: Any) -> AsyncGenerator[TailItem]:
        for item in items:
            yield item

    monkeypatch.setattr(run_streams, "tail_of", tail)


async def read(reader: RunReader) -> list[Any]:
    run: Any = type("Run", (), {"message": type("Message", (), {"id": "1"})})
    caller: Any = type("Caller", (), {"tenant": "default"})
    services: Any = None
    return [frame async for frame in followed(services, caller, run, reader, after=0)]


def stored(first: int, *events: tuple[EventType, str]) -> StoredEvents:
    return StoredEvents([Event(first + at, kind, data, 0) for at, (kind, data) in enumerate(events)])


BEGUN = stored(1, (EventType.PROCESSING, '{"attempt": 1}'), (EventType.CHUNK, '{"type": "content", "chunk": "Half"}'))
DONE = stored(9, (EventType.DONE, '{"state": "completed", "result": "Half an answer"}'))
VIEW = ResponseView("resp_1", "1", "steps", {})
READERS: dict[str, Callable[[], RunReader]] = {
    "completion": lambda: CompletionReader(CompletionView("c", "steps", 0, includes_usage=False)),
    "response": lambda: ResponseReader(VIEW, Progress(sequence=2), -1, is_last=True),
    "chat": lambda: PageReader(ChatView("m"), PageProgress()),
    "task": lambda: TaskReader(View(TaskView("m", "t"), DIALECTS[0]), 1, TaskProgress(), first_event=1),
    "run": lambda: AgUiReader(RunView("m"), Named("t", "r"), RunProgress()),
}


@pytest.mark.parametrize("surface", READERS)
async def test_half_an_answer_with_a_gap_behind_it_is_an_error(monkeypatch: pytest.MonkeyPatch, surface: str) -> None:
    """The log was pruned while a slow reader was in the middle of it."""
    replace_tail(monkeypatch, BEGUN, Reset(MessageState.COMPLETED, "Half an answer"), DONE)
    frames = await read(READERS[surface]())
    assert b"no longer kept" in frames[-1]
    assert b"Half an answer" not in b"".join(frames)


@pytest.mark.parametrize("surface", ["completion", "response"])
async def test_a_reader_of_a_pruned_log_gets_the_result(monkeypatch: pytest.MonkeyPatch, surface: str) -> None:
    replace_tail(monkeypatch, Reset(MessageState.COMPLETED, "Half an answer"), DONE)
    frames = await read(READERS[surface]())
    assert b"Half an answer" in frames[-1]


async def test_an_answered_response_is_not_ended_by_the_end_of_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_tail(monkeypatch, Reset(MessageState.COMPLETED, "Half an answer"), DONE)
    reader = ResponseReader(VIEW, Progress(sequence=2), -1, is_last=False)
    [frame] = await read(reader)
    assert b"no longer kept" in frame


@pytest.mark.parametrize(("after", "told"), [(9, b""), (10, b"no event 10; its last is 9")])
async def test_a_reader_behind_the_end_of_a_response_is_told(
    monkeypatch: pytest.MonkeyPatch, after: int, told: bytes
) -> None:
    replace_tail(monkeypatch, BEGUN, DONE)
    reader = ResponseReader(VIEW, Progress(sequence=2), after, is_last=True)
    body = b"".join(await read(reader))
    assert told in body
    assert bool(body) is bool(told)


@pytest.mark.parametrize("shown", [b"frames", b""])
async def test_others_have_their_turn_between_the_parts_of_a_page(
    monkeypatch: pytest.MonkeyPatch, shown: bytes
) -> None:
    """Others are served even while a reader sees nothing, such as one who has seen these events."""
    replace_tail(monkeypatch, PAGE)
    one, other = Reader(shown), Reader(shown)
    others = asyncio.create_task(one.count_turns())
    frames = await read(one)
    others.cancel()
    assert frames == [shown] * (4 if shown else 0)
    assert [event for part, _ in one.given for event in part.events] == list(PAGE.events)
    turns = [turn for _, turn in one.given]
    assert turns == sorted(set(turns))
    assert await read(other) == frames
    assert [part for part, _ in other.given] == [part for part, _ in one.given], "readers share the parts"
