"""The events of a thread follow from the events of its messages, with the same ids for every reader."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.models.events import Event, NewEvent
from app.protocols.langgraph.thread_projection import MessageProgress, MessageView, Place, Subscription, thread_frames
from tests.unit.test_langgraph_projection import NOW, log, text, values

CHANNELS = ("values", "updates", "messages", "tools", "custom", "lifecycle", "input", "tasks", "checkpoints")
EVERYTHING = Subscription(frozenset(CHANNELS))
CALL = {"id": "c1", "name": "add", "args": {"a": 2}}
SUBGRAPH = ("child:1",)

Frames = list[dict[str, Any]]

BEGINNING = Place()


def view(wanted: Subscription = EVERYTHING, **more: Any) -> MessageView:
    return MessageView("run", 3, "agent", wanted, **more)


def shown(events: Sequence[Event], of: MessageView | None = None, after: Place = BEGINNING) -> Frames:
    """The data of all frames behind a place."""
    body, _ = thread_frames(of or view(), MessageProgress(), events, after)
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in body.decode().split("\n\n")[:-1]]
    found = [json.loads(block["data"]) for block in blocks]
    assert [(block["event"], block["id"]) for block in blocks] == [(each["method"], str(each["seq"])) for each in found]
    return found


def told(events: Sequence[Event], *methods: str) -> list[Any]:
    """The data of the frames of these methods."""
    return [each["params"]["data"] for each in shown(events) if each["method"] in methods]


def reasoning(piece: str, index: int) -> NewEvent:
    return NewEvent.chunk("reasoning", piece, index, message="m1", node="model")


def result(status: str) -> NewEvent:
    return NewEvent.chunk(
        "tool_result", {"id": "c1", "name": "add", "content": "2", "status": status}, 9, message="t1", node="tools"
    )


CHAT = log(
    NewEvent.processing(1),
    values("u"),
    reasoning("Hm", 0),
    text("The ", 1),
    text("end", 2),
    NewEvent.chunk("tool_call", CALL, 3, message="m1", node="model"),
    NewEvent.shown("updates", {"model": {"messages": ["m1"]}}),
    values("u", "m1"),
    NewEvent.shown("custom", {"name": "progress", "step": 1}),
    result("success"),
    values("u", "m1", "t1"),
    text("2", 4, "m2"),
    NewEvent.done("2", NOW),
)


def test_a_message_is_a_start_blocks_and_an_end() -> None:
    data = told(CHAT, "messages")
    assert [each["event"] for each in data] == [
        *("message-start", "content-block-start", "content-block-delta", "content-block-finish"),
        *("content-block-start", "content-block-delta", "content-block-delta", "content-block-finish"),
        *("content-block-start", "content-block-finish", "message-finish"),
        *("message-start", "content-block-start", "content-block-delta", "content-block-finish", "message-finish"),
    ]
    assert [each["id"] for each in data if "id" in each] == ["m1", "m2"]
    assert [each["content"] for each in data if each["event"] == "content-block-finish"] == [
        {"type": "reasoning", "reasoning": "Hm"},
        {"type": "text", "text": "The end"},
        {"type": "tool_call", **CALL},
        {"type": "text", "text": "2"},
    ]
    assert [each["index"] for each in data if each["event"] == "content-block-start"] == [0, 1, 2, 0]
    assert data[2]["delta"] == {"type": "reasoning-delta", "reasoning": "Hm"}


def test_what_comes_beside_messages_has_its_channel() -> None:
    methods = [each["method"] for each in shown(CHAT) if each["method"] != "messages"]
    assert methods == ["lifecycle", "values", "tools", "updates", "values", "custom", "tools", "values", "lifecycle"]
    assert told(CHAT, "tools") == [
        {"event": "tool-started", "tool_call_id": "c1", "tool_name": "add", "input": {"a": 2}},
        {"event": "tool-finished", "tool_call_id": "c1", "output": "2"},
    ]
    assert told(CHAT, "updates") == [{"node": "model", "values": {"messages": ["m1"]}}]
    assert told(CHAT, "custom") == [{"name": "progress", "payload": {"name": "progress", "step": 1}}]
    assert told(CHAT, "lifecycle") == [
        {"event": "running", "graph_name": "agent"},
        {"event": "completed", "graph_name": "agent"},
    ]
    assert told(log(NewEvent.processing(1), result("error")), "tools") == [
        {"event": "tool-error", "tool_call_id": "c1", "message": "2"}
    ]


def test_a_message_is_whole_before_the_state_that_has_it() -> None:
    methods = [(each["method"], each["params"]["data"].get("event")) for each in shown(CHAT)]
    assert methods.index(("messages", "message-finish")) < methods.index(("updates", None))


def test_each_frame_has_its_place_and_time_for_every_reader() -> None:
    whole = shown(CHAT)
    assert [each["seq"] for each in whole] == sorted({each["seq"] for each in whole})
    assert len({each["event_id"] for each in whole}) == len(whole)
    for each in whole:
        place = Place.of(each["seq"])
        assert (place.message, place.seq) == (3, each["seq"])
        assert each["params"]["timestamp"] == 1_000 * place.event
    for at, frame in enumerate(whole):
        assert shown(CHAT, after=Place.of(frame["seq"])) == whole[at + 1 :]
    for channel in ("messages", "lifecycle", "values"):
        some = shown(CHAT, view(Subscription(frozenset({channel}))))
        assert some == [each for each in whole if each["method"] == channel]
    assert Place(2**21 - 1, 2**22 - 1, 2_000).seq < 2**53, "JavaScript keeps it"
    assert Place(1, 2, 5_000).seq < Place(1, 3, 0).seq, "more frames than there are places"


@pytest.mark.parametrize("cut", range(1, len(CHAT)))
def test_pages_of_a_log_give_what_the_whole_log_gives(cut: int) -> None:
    first, progress = thread_frames(view(), MessageProgress(), CHAT[:cut], BEGINNING)
    second, progress = thread_frames(view(), progress, CHAT[cut:], BEGINNING)
    assert (first + second, progress.ended) == (thread_frames(view(), MessageProgress(), CHAT, BEGINNING)[0], True)


def test_a_later_attempt_does_not_show_messages_again() -> None:
    events = log(
        NewEvent.processing(1),
        text("once", 0),
        text("half", 1, "m2"),
        NewEvent.retry(attempt=1, error="lost", next_at=NOW, discard_from=2),
        NewEvent.processing(2),
        text("once", 0),
        text("whole", 1, "m3"),
        NewEvent.done("whole", NOW),
    )
    data = told(events, "messages")
    assert [each["id"] for each in data if "id" in each] == ["m1", "m2", "m3"]
    assert [each["event"] for each in data].count("message-finish") == 3
    assert [each["event"] for each in told(events, "lifecycle")] == ["running", "completed"]


def test_a_question_ends_a_run_and_its_answer_begins_another() -> None:
    asks = NewEvent.interrupted(attempt=1, interrupts='[{"id": "q", "value": "Sure?"}]', expires_at=NOW)
    again = (NewEvent.resumed(discard_from=2, answers="{}"), NewEvent.processing(1), NewEvent.cancelled(NOW))
    events = log(NewEvent.processing(1), text("So", 0), asks, *again)
    assert told(events, "input.requested") == [{"interrupt_id": "q", "payload": "Sure?", "value": "Sure?"}]
    frames = [each for each in shown(events, view(answers=((4, "answer"),))) if each["method"] == "lifecycle"]
    assert [(each["event_id"].split(":")[1], each["params"]["data"]["event"]) for each in frames] == [
        ("run", "running"),
        ("run", "interrupted"),
        ("answer", "running"),
        ("answer", "interrupted"),
    ]


def test_a_failure_is_told_by_its_error() -> None:
    events = log(NewEvent.processing(1), text("So", 0), NewEvent.failed("broken", "agent_error", NOW))
    assert [each["event"] for each in told(events, "messages")][-1] == "message-finish"
    assert told(events, "lifecycle")[-1] == {"event": "failed", "graph_name": "agent", "error": "broken"}


def test_nodes_that_stream_side_by_side_are_kept_apart() -> None:
    events = log(
        NewEvent.processing(1),
        text("a", 0, "m1"),
        NewEvent.chunk("content", "b", 1, message="m2", node="other"),
        text("a", 2, "m1"),
        NewEvent.shown("updates", {"other": None}),
        text("a", 3, "m1"),
        NewEvent.done("", NOW),
    )
    data = told(events, "messages")
    assert [each.get("message_id") for each in data if "delta" in each] == [None, "m2", "m1", None]
    finished = [each["content"]["text"] for each in data if each["event"] == "content-block-finish"]
    assert finished == ["b", "aaa"]


def test_subgraphs_begin_when_they_first_show_something_and_end_with_the_run() -> None:
    events = log(
        NewEvent.processing(1),
        text("in", 0, "m1", path=list(SUBGRAPH)),
        NewEvent.shown("values", {}, path=[*SUBGRAPH, "grand:2"]),
        NewEvent.done("", NOW),
    )
    told_of = [
        (each["params"]["namespace"], each["params"]["data"]["event"])
        for each in shown(events)
        if each["method"] == "lifecycle"
    ]
    inner, innermost = list(SUBGRAPH), [*SUBGRAPH, "grand:2"]
    assert told_of == [
        ([], "running"),
        (inner, "started"),
        (innermost, "started"),
        (innermost, "completed"),
        (inner, "completed"),
        ([], "completed"),
    ]


@pytest.mark.parametrize(
    ("namespaces", "depth", "expected"),
    [
        (None, None, {0, 1, 2}),
        (((),), 0, {0}),
        (((),), 1, {0, 1}),
        ((("child:1",),), None, {1, 2}),
        ((("child",),), 0, {1}),
        ((("child:2",),), None, set()),
        ((("child:1", "grand:2"),), None, {2}),
    ],
)
def test_namespaces_are_prefixes_and_depth_counts_below_them(
    namespaces: tuple[tuple[str, ...], ...] | None, depth: int | None, expected: set[int]
) -> None:
    events = log(
        NewEvent.shown("values", {}),
        NewEvent.shown("values", {}, path=SUBGRAPH),
        NewEvent.shown("values", {}, path=(*SUBGRAPH, "grand:2")),
    )
    seen = shown(events, view(Subscription(frozenset({"values"}), namespaces, depth)))
    assert {len(each["params"]["namespace"]) for each in seen} == expected


def test_a_named_channel_has_the_custom_events_of_that_name() -> None:
    events = log(*(NewEvent.shown("custom", data) for data in ({"name": "a"}, {"name": "b"}, "plain", {"name": 5})))
    assert len(shown(events, view(Subscription(frozenset({"custom"}))))) == 4
    (named,) = shown(events, view(Subscription(frozenset({"custom:a"}))))
    assert named["params"]["data"] == {"name": "a", "payload": {"name": "a"}}


def test_content_that_was_too_large_to_be_stored_is_left_out() -> None:
    assert shown(log(NewEvent.shown("values", None, omitted=2_000_000))) == []


def test_checkpoints_name_their_place_and_leave_the_state_out() -> None:
    config = {"configurable": {"checkpoint_id": "2"}}
    parent = {"configurable": {"checkpoint_id": "1"}}
    given = {"config": config, "parent_config": parent, "values": {"a": 1}, "metadata": {"step": 4, "source": "loop"}}
    assert told(log(NewEvent.shown("checkpoints", given)), "checkpoints") == [
        {"id": "2", "parent_id": "1", "step": 4, "source": "loop"}
    ]
