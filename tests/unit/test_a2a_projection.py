"""The items of A2A's streams follow from the events of a message, from each cursor on: no gap, and nothing twice."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import ParseDict
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events.fanout import StoredEvents
from app.models.events import Event, NewEvent
from app.models.usage import MeteredCall, ModelUsage, Tokens
from app.protocols.a2a.calls import CURSOR
from app.protocols.a2a.dialects import DIALECTS, Dialect
from app.protocols.a2a.projection import Frame, Progress, TaskView, View, frames_of, progress_after
from app.protocols.a2a.streams import Cursor, TaskReader
from tests.a2a_clients import ReadTask

NOW = datetime(2026, 11, 29, tzinfo=UTC)
CURRENT, OLD = DIALECTS
TASK = TaskView("task", "context")
VIEWS = [View(TASK, dialect, with_cursors) for dialect in DIALECTS for with_cursors in (False, True)]
QUESTION = '[{"id": "q1", "value": {"question": "Sure?"}}, {"id": "q2", "value": 5}]'

BEGUN = NewEvent.processing(1)
ASKS = NewEvent.interrupted(attempt=1, interrupts=QUESTION, expires_at=NOW)
FAILED = NewEvent.failed("It broke.", "agent_error", NOW)
CANCELLED = NewEvent.cancelled(NOW)
USED = NewEvent.usage(
    [MeteredCall({"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}, ModelUsage("m", Tokens()))]
)


def text(piece: str, message: str = "m1", kind: Literal["content", "reasoning"] = "content") -> NewEvent:
    return NewEvent.chunk(kind, piece, 0, message=message)


def called(message: str = "m1") -> NewEvent:
    return NewEvent.chunk("tool_call", {"id": "c", "name": "add", "args": {"a": 1}}, 0, message=message)


def discard(message: str, first: int) -> NewEvent:
    return NewEvent.chunk("discard", "", 0, message=message, kept=False, discard_from=first)


def retry(first: int) -> NewEvent:
    return NewEvent.retry(attempt=1, error="It broke.", next_at=NOW, discard_from=first)


def resumed(first: int) -> NewEvent:
    return NewEvent.resumed(discard_from=first, answers='{"q1": true, "q2": 5}')


def done(result: str, output: str | None = None) -> NewEvent:
    return NewEvent.done(result, NOW, output)


TRANSCRIPTS: dict[str, tuple[list[NewEvent], str]] = {
    "an answer in pieces": ([BEGUN, text("The "), text("capital"), done("The capital")], "The capital"),
    "no answer": ([BEGUN, done("")], ""),
    "an answer that was not shown": ([BEGUN, done("All at once", '{"sum": 1}')], "All at once"),
    "structured output": ([BEGUN, text("3"), USED, done("3", "[1, 2]")], "3"),
    "reasoning and tools": (
        [BEGUN, text("Hm", kind="reasoning"), called(), text("Two", "m2"), USED, done("Two")],
        "Two",
    ),
    "a draft that is dropped": ([BEGUN, text("Draft"), discard("m1", 2), text("Right", "m2"), done("Right")], "Right"),
    "a retry": ([BEGUN, text("Half"), retry(2), NewEvent.processing(2), text("Whole", "m2"), done("Whole")], "Whole"),
    "a retry without a text": ([BEGUN, called(), retry(2), NewEvent.processing(2), FAILED], ""),
    "a question and its answer": (
        [BEGUN, text("Step."), ASKS, resumed(2), BEGUN, text("Step."), text(" Yes", "m2"), done("Step. Yes")],
        "Step. Yes",
    ),
    "an open question": ([BEGUN, text("So far."), ASKS], "So far."),
    "a failure": ([BEGUN, text("Half"), FAILED], "Half"),
    "a cancel": ([BEGUN, text("Half"), CANCELLED], "Half"),
    "a cancel of a question": ([BEGUN, ASKS, CANCELLED], ""),
    "texts of two messages in turns": (
        [BEGUN, text("a"), text("b", "m2"), text("c"), discard("m2", 3), done("ac")],
        "ac",
    ),
    "a result that is not what was shown": ([BEGUN, text("Shown"), done("Told")], "Told"),
}
"""By what happens: the events, and the answer of a client that has read all of them."""


def log(events: Sequence[NewEvent]) -> list[Event]:
    return [Event(number, event.type, event.data, 1_000 + number) for number, event in enumerate(events, 1)]


def whole(view: View, events: Sequence[Event]) -> tuple[Frame, ...]:
    return frames_of(view, Progress(), events)[0]


def behind(view: View, events: Sequence[Event], cursor: str) -> tuple[Frame, ...]:
    """The frames that a client gets that goes on behind a cursor."""
    place = Cursor.of(cursor)
    after = int(place.event)
    progress = progress_after(view.task, Progress(), events[:after])
    return frames_of(view, progress, events[after:])[0][place.items :]


def check_each_cursor(view: View, events: Sequence[Event]) -> None:
    frames = whole(view, events)
    cursors = [frame.cursor for frame in frames]
    assert len(set(cursors)) == len(cursors)
    assert behind(view, events, "0") == frames
    for number, cursor in enumerate(cursors, 1):
        assert behind(view, events, cursor) == frames[number:], cursor


def read(frames: Sequence[Frame], into: ReadTask | None = None) -> ReadTask:
    """The task that a client of 1.0 makes of frames. It is strict about artifacts."""
    task = into or ReadTask(TASK.task_id)
    for frame in frames:
        task.take(ParseDict(json.loads(frame.item), pb.StreamResponse()))
    return task


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.dialect.version} {view.with_cursors}")
@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_stream_is_the_same_behind_each_cursor(name: str, view: View) -> None:
    check_each_cursor(view, log(TRANSCRIPTS[name][0]))


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_client_that_is_cut_off_at_each_item_has_the_same_task(name: str) -> None:
    events, answer = log(TRANSCRIPTS[name][0]), TRANSCRIPTS[name][1]
    view = View(TASK, CURRENT, with_cursors=True)
    expected = read(whole(view, events))
    assert expected.texts.get("answer", "") == answer
    frames = whole(view, events)
    assert expected.cursors == [frame.cursor for frame in frames]
    for number in range(len(frames) + 1):
        task = read(frames[:number])
        seen = task.cursors[-1] if task.cursors else "0"
        read(behind(view, events, seen), task)
        assert vars(task) == vars(expected), seen


def test_text_that_does_not_count_is_replaced_at_once_and_other_text_is_not_sent_again() -> None:
    pieces = {name: read(whole(View(TASK, CURRENT), log(new))).pieces for name, (new, _) in TRANSCRIPTS.items()}
    assert pieces["a draft that is dropped"] == ["Draft", "", "Right", ""]
    assert pieces["texts of two messages in turns"] == ["a", "b", "c", "ac", ""]
    assert pieces["a retry"] == ["Half", "", "Whole", ""]
    assert pieces["a retry without a text"] == []
    assert pieces["no answer"] == []


def test_the_only_terminal_status_is_the_last_item() -> None:
    for name, (new, _) in TRANSCRIPTS.items():
        states = read(whole(View(TASK, CURRENT), log(new))).states
        ends = [state for state in states if state in ("COMPLETED", "FAILED", "CANCELED")]
        assert ends == ([] if name == "an open question" else states[-1:]), name


def test_cursors_are_in_the_items_of_clients_that_ask_alone() -> None:
    events = log(TRANSCRIPTS["a draft that is dropped"][0])
    assert not any(CURSOR in frame.item for frame in whole(View(TASK, CURRENT), events))
    frames = whole(View(TASK, CURRENT, with_cursors=True), events)
    assert all(f'"{CURSOR}":{{"cursor":"{frame.cursor}"}}' in frame.item for frame in frames)


def test_the_items_of_one_event_have_cursors_between_two_events() -> None:
    events = log([BEGUN, text("Half"), retry(2), NewEvent.processing(2), done("Whole", '{"a": 1}')])
    assert [frame.cursor for frame in whole(View(TASK, CURRENT), events)] == [
        "1", "2", "2.1", "3", "4", "4.1", "4.2", "5",
    ]  # fmt: skip


PIECES = st.one_of(
    st.builds(text, st.sampled_from(["a", "b", "é👍"]), st.sampled_from(["m1", "m2"])),
    st.builds(discard, st.sampled_from(["m1", "m2"]), st.integers(1, 20)),
    st.builds(retry, st.integers(1, 20)),
    st.builds(resumed, st.integers(1, 20)),
    st.sampled_from([BEGUN, ASKS, USED, called(), text("Hm", kind="reasoning")]),
)
ENDINGS = st.sampled_from([done("x"), done("", '{"a": [1]}'), done("aab", "null"), FAILED, CANCELLED])


@given(st.lists(PIECES, max_size=20), ENDINGS, st.sampled_from(VIEWS), st.data())
@settings(max_examples=200, deadline=None)
def test_any_log_gives_the_same_items_from_each_cursor_and_in_any_parts(
    pieces: list[NewEvent], end: NewEvent, view: View, data: st.DataObject
) -> None:
    events = log([BEGUN, *pieces, end])
    check_each_cursor(view, events)
    made: list[Frame] = []
    progress, at = Progress(), 0
    while at < len(events):
        size = data.draw(st.integers(1, 5))
        frames, progress = frames_of(view, progress, events[at : at + size])
        made += frames
        at += size
    assert tuple(made) == whole(view, events)
    assert progress.ended
    read(whole(view._replace(dialect=CURRENT), events))


def frames_in(body: bytes) -> list[tuple[str, Any]]:
    """The ids and the results of server-sent events."""
    frames = [frame.split("\n") for frame in body.decode().split("\n\n") if frame]
    return [(lines[0].removeprefix("id: "), json.loads(lines[1].removeprefix("data: "))) for lines in frames]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: each.version)
def test_a_reader_skips_items_of_its_first_events_alone_and_shares_the_others(dialect: Dialect) -> None:
    events = log([BEGUN, text("Half"), retry(2), NewEvent.processing(2), done("Whole", '{"a": 1}')])
    view = View(TASK, dialect)
    progress = progress_after(TASK, Progress(), events[:2])
    one = TaskReader(view, "first", progress, first_event=1, seen_items=1)
    two = TaskReader(view, 2, progress, first_event=1)
    first, second = StoredEvents(events[2:4]), StoredEvents(events[4:])
    bodies = [[frames_in(reader.frames_of(part)) for part in (first, second)] for reader in (one, two)]
    assert [[name for name, _ in part] for part in bodies[0]] == [["3", "4"], ["4.1", "4.2", "5"]]
    assert [[name for name, _ in part] for part in bodies[1]] == [["2.1", "3", "4"], ["4.1", "4.2", "5"]]
    assert {each["id"] for part in bodies[0] for _, each in part} == {"first"}
    assert {each["id"] for part in bodies[1] for _, each in part} == {2}
    assert bodies[0][1][0][1]["result"] == bodies[1][1][0][1]["result"]
    assert one.has_ended()


def test_a_question_ends_the_stream_of_those_who_wait_for_it_alone() -> None:
    events = log([BEGUN, ASKS])
    for first_event, ended in ((1, True), (2, True), (3, False)):
        reader = TaskReader(View(TASK, CURRENT), 1, Progress(), first_event=first_event)
        reader.frames_of(StoredEvents(events))
        assert reader.has_ended() is ended


def test_a_text_is_taken_back_by_its_beginning_alone() -> None:
    """An answer to a question takes back what began with an event or later. A text that began before stays whole."""
    events = log([BEGUN, text("One ", "m1"), text("text.", "m1"), text("Other.", "m2"), ASKS, resumed(3)])
    assert progress_after(TASK, Progress(), events).text == "One text."


def test_a_status_with_nothing_to_tell_has_no_metadata() -> None:
    made, _ = frames_of(View(TASK, CURRENT), Progress(), log([BEGUN, CANCELLED]))
    begun, cancelled = (json.loads(frame.item)["statusUpdate"] for frame in made)
    assert "agentq" in begun["metadata"]
    assert "metadata" not in cancelled
