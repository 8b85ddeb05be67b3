"""The frames of a run follow from the events of its message, from any frame on, and with any number of readers."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from app.events.fanout import StoredEvents
from app.models.events import Event, NewEvent
from app.models.parts import EventPart
from app.protocols.langgraph.modes import StreamMode
from app.protocols.langgraph.projection import FrameId, Progress, RunView, frames_of, messages_in

NOW = datetime(2026, 11, 29, tzinfo=UTC)
BEGINNING = FrameId(0, -1)
QUESTION = {"id": "q", "value": "Sure?"}
ALL = frozenset(StreamMode)


def view(*modes: StreamMode, subgraphs: bool = False) -> RunView:
    return RunView("run", "thread", "agent", "assistant", frozenset(modes or ALL), subgraphs)


def log(*events: NewEvent) -> list[Event]:
    return [Event(number, event.type, event.data, 1_000 * number) for number, event in enumerate(events, 1)]


def text(piece: str, index: int, message: str = "m1", **more: Any) -> NewEvent:
    return NewEvent.chunk("content", piece, index, message=message, node="model", **more)


def values(*messages: str) -> NewEvent:
    return NewEvent.shown("values", {"messages": list(messages)})


def frames(body: bytes) -> list[tuple[str, Any, str]]:
    """The name, data and id of each frame."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], json.loads(fields["data"]), fields["id"]))
    return found


def seen(events: Sequence[Event], of: RunView, after: FrameId = BEGINNING) -> list[tuple[str, Any, str]]:
    return frames(frames_of(of, Progress(), events, after)[0])


def named(events: Sequence[Event], of: RunView) -> list[tuple[str, Any]]:
    return [(name, data) for name, data, _ in seen(events, of)]


def pieces(events: Sequence[Event], name: str = "messages") -> list[dict[str, Any]]:
    """The messages of all frames in the form of pieces."""
    return [data[0] for each, data, _ in seen(events, view(StreamMode.MESSAGES_TUPLE)) if each == name]


CHAT = log(
    NewEvent.processing(1),
    values("u"),
    text("The ", 0),
    NewEvent.shown("custom", {"step": 1}),
    text("end", 1),
    NewEvent.shown("updates", {"model": {"messages": ["m1"]}}),
    values("u", "m1"),
    NewEvent.done("The end", NOW),
)


def test_each_mode_shows_its_own_events() -> None:
    metadata = ("metadata", {"run_id": "run", "attempt": 1})
    assert named(CHAT, view(StreamMode.VALUES)) == [
        metadata,
        ("values", {"messages": ["u"]}),
        ("values", {"messages": ["u", "m1"]}),
    ]
    assert named(CHAT, view(StreamMode.UPDATES)) == [metadata, ("updates", {"model": {"messages": ["m1"]}})]
    assert named(CHAT, view(StreamMode.CUSTOM)) == [metadata, ("custom", {"step": 1})]
    assert [name for name, _ in named(CHAT, view(StreamMode.MESSAGES))] == [
        "metadata",
        "messages/metadata",
        "messages/partial",
        "messages/partial",
    ]


@pytest.mark.parametrize("mode", ["tasks", "checkpoints", "debug"])
def test_modes_of_the_graph_itself_are_shown_as_it_gives_them(mode: Literal["tasks", "checkpoints", "debug"]) -> None:
    events = log(NewEvent.shown(mode, {"id": "x"}), NewEvent.shown(mode, {"id": "y"}, path=["child"]))
    assert named(events, view(StreamMode(mode))) == [(mode, {"id": "x"})]
    assert named(events, view(StreamMode.VALUES)) == []


def test_debug_names_checkpoints_as_states_do() -> None:
    places = [{"configurable": {"checkpoint_ns": "", "checkpoint_id": name}} for name in ("c0", "c1")]
    inner = {"configurable": {"checkpoint_ns": "child:1"}}
    tasks = [{"id": "a", "state": None}, {"id": "b", "state": inner}]
    payload = {"config": places[1], "parent_config": places[0], "tasks": tasks}
    first: dict[str, Any] = {"config": places[0], "parent_config": None, "tasks": []}
    events = log(*(NewEvent.shown("debug", {"type": "checkpoint", "payload": each}) for each in (first, payload)))
    [(_, beginning), (_, shown)] = named(events, view(StreamMode.DEBUG))
    assert beginning["payload"]["parent_checkpoint"] is None
    assert shown["payload"]["config"] == places[1]
    assert shown["payload"]["checkpoint"] == {"thread_id": "thread", "checkpoint_ns": "", "checkpoint_id": "c1"}
    assert shown["payload"]["parent_checkpoint"]["checkpoint_id"] == "c0"
    assert shown["payload"]["tasks"] == [
        {"id": "a", "state": None},
        {"id": "b", "checkpoint": {"thread_id": "thread", "checkpoint_ns": "child:1"}},
    ]


def test_pieces_have_the_text_since_the_piece_before_and_the_run() -> None:
    [(_, [first, about], _), (_, [second, _], _)] = seen(CHAT, view(StreamMode.MESSAGES_TUPLE))[1:]
    assert (first["content"], second["content"]) == ("The ", "end")
    assert (first["type"], first["id"]) == ("AIMessageChunk", "m1")
    assert about["langgraph_node"] == "model"
    assert (about["run_id"], about["thread_id"], about["graph_id"]) == ("run", "thread", "agent")


def test_whole_messages_have_all_of_their_text_so_far() -> None:
    partial = [data for name, data in named(CHAT, view(StreamMode.MESSAGES)) if name == "messages/partial"]
    assert [message["content"] for [message] in partial] == ["The ", "The end"]
    assert partial[0][0]["type"] == "ai"


def test_tool_calls_are_numbered_within_their_message_and_results_are_whole() -> None:
    calls = [{"id": f"c{number}", "name": "add", "args": {"a": number}} for number in range(2)]
    result = {"id": "c0", "name": "add", "content": "1", "status": "success"}
    events = log(
        NewEvent.processing(1),
        text("I add", 0),
        *(NewEvent.chunk("tool_call", call, index + 1, message="m1") for index, call in enumerate(calls)),
        NewEvent.chunk("tool_result", result, 3, message="t0"),
    )
    _, first, second, tool = pieces(events)
    assert [piece["tool_call_chunks"][0]["index"] for piece in (first, second)] == [0, 1]
    assert json.loads(second["tool_call_chunks"][0]["args"]) == {"a": 1}
    assert first["tool_calls"] == [{"name": "add", "args": {"a": 0}, "id": "c0", "type": "tool_call"}]
    assert (tool["type"], tool["tool_call_id"], tool["content"]) == ("tool", "c0", "1")
    shown = named(events, view(StreamMode.MESSAGES))
    assert [name for name, _ in shown][-2:] == ["messages/metadata", "messages/complete"]
    assert shown[-3][1][0]["content"] == "I add"
    assert len(shown[-3][1][0]["tool_calls"]) == 2


def test_reasoning_is_apart_from_the_text() -> None:
    [piece] = pieces(log(NewEvent.processing(1), NewEvent.chunk("reasoning", "Hm", 0, message="m1")))
    assert (piece["content"], piece["additional_kwargs"]) == ("", {"reasoning_content": "Hm"})


@pytest.mark.parametrize("subgraphs", [False, True])
def test_subgraphs_are_shown_under_their_path_if_the_client_wants_them(subgraphs: bool) -> None:
    events = log(
        NewEvent.processing(1),
        NewEvent.shown("values", {"inner": 1}, path=["child"]),
        text("inside", 0, path=["child"]),
        NewEvent.interrupted(attempt=1, interrupts=json.dumps([QUESTION]), expires_at=NOW),
    )
    shown = named(events, view(StreamMode.VALUES, StreamMode.MESSAGES_TUPLE, subgraphs=subgraphs))
    inside = [name for name, _ in shown if "child" in name]
    assert inside == (["values|child", "messages|child"] if subgraphs else [])
    assert shown[-1] == ("values", {"__interrupt__": [QUESTION]}), "not the state of the subgraph"


def test_a_question_ends_the_run_and_comes_with_the_state() -> None:
    events = log(
        NewEvent.processing(1),
        values("u"),
        NewEvent.interrupted(attempt=1, interrupts=json.dumps([QUESTION]), expires_at=NOW),
        NewEvent.resumed(discard_from=3, answers="{}"),
        NewEvent.processing(2),
        values("u", "yes"),
        NewEvent.done("", NOW),
    )
    shown = seen(events, view(StreamMode.VALUES, StreamMode.UPDATES))
    assert shown[-2:] == [
        ("updates", {"__interrupt__": [QUESTION]}, "3-0"),
        ("values", {"messages": ["u"], "__interrupt__": [QUESTION]}, "3-1"),
    ]
    answered = frames(frames_of(view(StreamMode.VALUES), Progress(), events[3:], BEGINNING)[0])
    assert answered == [
        ("metadata", {"run_id": "run", "attempt": 1}, "5-0"),
        ("values", {"messages": ["u", "yes"]}, "6-0"),
    ]


def test_a_later_attempt_begins_new_messages_and_does_not_show_finished_ones_again() -> None:
    events = log(
        NewEvent.processing(1),
        text("first step", 0, "m1"),
        text("bro", 1, "m2"),
        NewEvent.retry(attempt=1, error="broken", next_at=NOW, discard_from=2),
        NewEvent.processing(2),
        NewEvent.chunk("content", "first step", 0, message="m1"),
        text("whole", 1, "m3"),
        NewEvent.done("whole", NOW),
    )
    assert [(piece["id"], piece["content"]) for piece in pieces(events)] == [
        ("m1", "first step"),
        ("m2", "bro"),
        ("m3", "whole"),
    ]
    assert named(events, view(StreamMode.VALUES)) == [
        ("metadata", {"run_id": "run", "attempt": attempt}) for attempt in (1, 2)
    ]


@pytest.mark.parametrize("whole", [False, True])
def test_a_later_attempt_shows_what_the_log_does_not_have_of_a_finished_step(whole: bool) -> None:
    """A killed worker may have finished a step whose last pieces were not stored."""
    call = NewEvent.chunk("tool_call", {"id": "c", "name": "add", "args": {}}, 1, message="m1")
    events = log(
        NewEvent.processing(1),
        text("first ", 0, "m1"),
        text("st", 1, "m1"),
        NewEvent.retry(attempt=1, error="killed", next_at=NOW, discard_from=2),
        NewEvent.processing(2),
        text("first step", 0, "m1"),
        call,
        NewEvent.retry(attempt=2, error="killed", next_at=NOW, discard_from=2),
        NewEvent.processing(3),
        text("first step", 0, "m1"),
        call,
        NewEvent.done("first step", NOW),
    )
    if whole:
        partial = [data[0] for name, data in named(events, view(StreamMode.MESSAGES)) if name == "messages/partial"]
        assert [message["content"] for message in partial] == ["first ", "first st", "first step", "first step"]
        assert [len(message["tool_calls"]) for message in partial] == [0, 0, 0, 1]
    else:
        shown = pieces(events)
        assert {piece["id"] for piece in shown} == {"m1"}
        assert [piece["content"] for piece in shown] == ["first ", "st", "ep", ""]
        assert [chunk["index"] for piece in shown for chunk in piece["tool_call_chunks"]] == [0]


def test_other_text_under_the_id_of_an_earlier_attempt_is_a_message_of_its_own() -> None:
    events = log(
        NewEvent.processing(1),
        NewEvent.chunk("reasoning", "Hm. ", 0, message="m1"),
        text("Yes, bec", 1, "m1"),
        NewEvent.retry(attempt=1, error="cut", next_at=NOW, discard_from=2),
        NewEvent.processing(2),
        NewEvent.chunk("reasoning", "Hm", 0, message="m1"),
        text("Ye", 1, "m1"),
        text("sterday", 2, "m1"),
        text(".", 3, "m1"),
        NewEvent.done("Yesterday.", NOW),
    )
    found: dict[str, list[str]] = {}
    for piece in pieces(events):
        found.setdefault(piece["id"], []).append(
            piece["content"] or f"({piece['additional_kwargs']['reasoning_content']})"
        )
    assert found == {"m1": ["(Hm. )", "Yes, bec"], "m1-2": ["(Hm)", "Yesterday", "."]}


@pytest.mark.parametrize("kind", ["values", "updates", "custom", "tasks", "checkpoints", "debug"])
def test_content_that_was_too_large_to_be_stored_is_left_out(kind: EventPart) -> None:
    events = log(NewEvent.processing(1), values("u"), NewEvent.shown(kind, None, omitted=2_000_000), ASKS)
    assert [name for name, _ in named(events, view())] == ["metadata", "values", "updates", "values"]
    assert named(events, view())[-1][1] == {"messages": ["u"], "__interrupt__": [QUESTION]}


def test_text_of_an_unknown_message_is_not_glued_to_that_of_another_attempt() -> None:
    piece = NewEvent.chunk("content", "x", 0)
    retry = NewEvent.retry(attempt=1, error="", next_at=NOW, discard_from=2)
    first, second = pieces(log(NewEvent.processing(1), piece, retry, NewEvent.processing(2), piece))
    assert first["id"] != second["id"]


def test_a_resumed_run_does_not_show_messages_of_the_run_before() -> None:
    before = log(NewEvent.processing(1), text("asked", 0, "m1"))
    after = [
        Event(5, *NewEvent.processing(2), 0),
        Event(6, *text("asked", 0, "m1"), 0),
        Event(7, *text("done", 1, "m2"), 0),
    ]
    progress = Progress(earlier=frozenset(messages_in(before)))
    shown = frames(frames_of(view(StreamMode.MESSAGES_TUPLE), progress, after, BEGINNING)[0])
    assert [data[0]["id"] for name, data, _ in shown if name == "messages"] == ["m2"]


def test_a_failure_is_told_last() -> None:
    events = log(NewEvent.processing(1), NewEvent.failed("it broke", "agent_error", NOW))
    assert seen(events, view())[-1] == ("error", {"error": "agent_error", "message": "it broke"}, "2-0")


def test_a_discard_shows_nothing() -> None:
    discard = NewEvent.chunk("discard", "", 1, message="m1", kept=False, discard_from=2)
    assert len(seen(log(NewEvent.processing(1), text("x", 0), discard), view(StreamMode.MESSAGES_TUPLE))) == 2


ASKS = NewEvent.interrupted(attempt=2, interrupts=json.dumps([QUESTION]), expires_at=NOW)

QUESTIONED = log(
    NewEvent.processing(1),
    values("u"),
    text("The ", 0),
    NewEvent.chunk("tool_call", {"id": "c", "name": "add", "args": {}}, 1, message="m1"),
    NewEvent.retry(attempt=1, error="", next_at=NOW, discard_from=2),
    NewEvent.processing(2),
    text("The end", 0, "m2"),
    ASKS,
)


@pytest.mark.parametrize("modes", [ALL, {StreamMode.MESSAGES}, {StreamMode.VALUES, StreamMode.UPDATES}])
@pytest.mark.parametrize("size", [1, 3, len(QUESTIONED)])
def test_a_reader_can_continue_behind_each_frame(modes: Collection[StreamMode], size: int) -> None:
    of = view(*modes)
    whole = seen(QUESTIONED, of)
    ids = [FrameId(*map(int, frame_id.split("-"))) for *_, frame_id in whole]
    assert sorted(set(ids)) == ids
    for number, after in enumerate([BEGINNING, *ids]):
        progress, rest = Progress(), b""
        for first in range(0, len(QUESTIONED), size):
            body, progress = frames_of(of, progress, QUESTIONED[first : first + size], after)
            rest += body
        assert frames(rest) == whole[number:]


def test_readers_share_the_frames_of_one_form() -> None:
    stored, made = StoredEvents(CHAT), []

    def make(events: Sequence[Event]) -> bytes:
        made.append(len(events))
        return frames_of(view(), Progress(), events, BEGINNING)[0]

    bodies = {id(stored.view(view(), make)) for _ in range(64)}
    assert len(bodies) == 1
    assert made == [len(CHAT)]
    stored.view(view(StreamMode.VALUES), make)
    assert len(made) == 2
