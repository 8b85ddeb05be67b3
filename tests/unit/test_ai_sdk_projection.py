"""The UI message stream of a chat follows from the events of its message, and is always one that the AI SDK takes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models.events import Event, EventType, NewEvent
from app.protocols.ai_sdk.projection import ChatView, Progress, frames_of, start_of
from tests.ui_messages import ReadMessage, chunks_of

NOW = datetime(2026, 11, 29, tzinfo=UTC)
CALL = {"id": "c1", "name": "add", "args": {"a": 1}}
RESULT = {"id": "c1", "name": "add", "content": "2", "status": "success"}
QUESTION = '[{"id": "q1", "value": {"ask": "Sure?"}}]'
DONE = NewEvent.done("x", NOW)
RETRY = NewEvent.retry(attempt=1, error="it broke", next_at=NOW, discard_from=1)
ASKS = NewEvent.interrupted(attempt=1, interrupts=QUESTION, expires_at=NOW)
RESUMED = NewEvent.resumed(discard_from=4, answers='{"q1": {"ok": true}}')

Kind = Literal["content", "reasoning"]


def log(*events: NewEvent) -> list[Event]:
    return [Event(number, event.type, event.data, 0) for number, event in enumerate(events, 1)]


def text(piece: str, message: str = "m1", kind: Kind = "content") -> NewEvent:
    return NewEvent.chunk(kind, piece, 0, message=message, node="model")


def call(message: str = "m1", **more: Any) -> NewEvent:
    return NewEvent.chunk("tool_call", {**CALL, **more}, 0, message=message)


def result(message: str = "t1", **more: Any) -> NewEvent:
    return NewEvent.chunk("tool_result", {**RESULT, **more}, 0, message=message)


def discard(message: str = "m1", *, kept: bool) -> NewEvent:
    return NewEvent.chunk("discard", "", 0, message=message, kept=kept, discard_from=1)


def read(events: Sequence[Event], view: ChatView | None = None, progress: Progress | None = None) -> ReadMessage:
    """The message that a page makes of a stream of these events."""
    view = view or ChatView("run")
    body, _ = frames_of(view, progress or Progress(), events)
    return ReadMessage().take(*chunks_of(start_of(view) + body))


def shown(*events: NewEvent) -> list[Any]:
    return read(log(NewEvent.processing(1), *events)).shown()


def test_a_text_is_one_part_in_one_step() -> None:
    message = read(log(NewEvent.processing(1), text("The "), text("capital"), DONE))
    assert message.id == "run"
    assert message.shown() == ["<step-start>", "The capital"]
    assert message.end == {"type": "finish", "finishReason": "stop"}


def test_reasoning_tools_and_the_text_after_them() -> None:
    thought = text("Hm", kind="reasoning")
    assert shown(thought, text("Let me see."), call(), result(), text("2", "m2"), DONE) == [
        "<step-start>",
        "(Hm)",
        "Let me see.",
        ("add", {"a": 1}, "2"),
        "<step-start>",
        "2",
    ]
    assert shown(result(content="no", status="error"), DONE) == ["<step-start>", ("add", {}, {"error": "no"})]
    assert shown(result(content=["a"], status="error"), DONE)[1][2] == {"error": '["a"]'}


def test_the_agent_executes_its_tools_and_the_page_answers_questions() -> None:
    (called,) = [part for part in read(log(call(), DONE)).parts if part["type"] == "tool"]
    assert (called["dynamic"], called["providerExecuted"]) == (True, True)
    message = read(log(text("Well"), ASKS))
    (asked,) = [part for part in message.parts if part["type"] == "tool"]
    assert {"dynamic", "providerExecuted"}.isdisjoint(asked)
    assert (asked["toolCallId"], asked["toolName"], asked["input"]) == ("q1", "ask_human", {"ask": "Sure?"})
    assert message.end == {"type": "finish", "finishReason": "tool-calls"}


def test_a_retry_glues_no_texts_and_marks_the_unfinished_one() -> None:
    first = [NewEvent.processing(1), call(), result(), text("hal", "m2")]
    message = read(log(*first, RETRY, NewEvent.processing(2), call(), result(), text("half", "m3"), DONE))
    assert message.shown() == [
        *("<step-start>", ("add", {"a": 1}, "2"), "<step-start>", "~hal~", "<data-retry>"),
        *("<step-start>", "half"),
    ]
    (retry,) = [part for part in message.parts if part["type"] == "data-retry"]
    assert retry["data"] == {"attempt": 1, "error": "it broke", "nextAt": "2026-11-29T00:00:00.000Z"}


def test_a_text_that_was_finished_before_a_retry_is_shown_once_and_not_marked() -> None:
    again = [NewEvent.processing(2), text("One"), text("Two", "m2"), DONE]
    assert read(log(NewEvent.processing(1), text("One"), RETRY, *again)).shown() == [
        *("<step-start>", "One", "<data-retry>", "<step-start>", "Two"),
    ]
    twice = [RETRY, NewEvent.processing(2), text("One"), RETRY, *again]
    assert "One" in read(log(NewEvent.processing(1), text("One"), *twice)).shown()
    failed = NewEvent.failed("no", "agent_error", NOW)
    assert "~One~" in read(log(NewEvent.processing(1), text("One"), RETRY, NewEvent.processing(2), failed)).shown()


def test_what_the_log_does_not_have_of_a_finished_step_is_shown_by_the_next_attempt() -> None:
    """A killed worker may have finished a step whose last pieces were not stored."""
    again = [NewEvent.processing(2), text("One, "), text("two"), call(), result(), DONE]
    message = read(log(NewEvent.processing(1), text("One"), RETRY, *again))
    assert message.shown() == ["<step-start>", "One, two", "<data-retry>", ("add", {"a": 1}, "2"), "<step-start>"]


def test_other_text_under_the_id_of_an_earlier_attempt_is_a_part_of_its_own() -> None:
    first = [NewEvent.processing(1), text("Step", "m0"), text("Yes, bec")]
    again = [NewEvent.processing(2), text("Step", "m0"), text("Ye"), text("sterday"), text("."), DONE]
    assert read(log(*first, RETRY, *again)).shown() == [
        *("<step-start>", "Step", "~Yes, bec~", "<data-retry>", "<step-start>", "Yesterday."),
    ]


def test_a_finished_text_that_is_taken_back_after_a_retry_is_marked() -> None:
    again = [NewEvent.processing(2), text("draft"), discard(kept=False), text("real", "m2"), DONE]
    assert read(log(NewEvent.processing(1), text("draft"), RETRY, *again)).shown() == [
        *("<step-start>", "~draft~", "<data-retry>", "<step-start>", "real"),
    ]


def test_content_that_was_too_large_to_be_stored_is_left_out() -> None:
    message = read(log(NewEvent.processing(1), NewEvent.shown("custom", None, omitted=2_000_000), text("x"), DONE))
    assert message.transient == []


def test_a_result_after_a_retry_finds_its_call() -> None:
    message = read(log(NewEvent.processing(1), call(), RETRY, NewEvent.processing(2), call(), result(), DONE))
    assert ("add", {"a": 1}, "2") in message.shown()


@pytest.mark.parametrize("call_id", ["c1", "", None])
def test_a_call_whose_id_is_missing_or_used_again_has_its_own_result(call_id: str | None) -> None:
    asked = [call(id=call_id), result(id=call_id), call("m2", id=call_id), result("t2", id=call_id, content="3")]
    assert shown(*asked, DONE) == [
        *("<step-start>", ("add", {"a": 1}, "2"), "<step-start>", ("add", {"a": 1}, "3")),
    ]


@pytest.mark.parametrize("call_id", ["c1", "", None])
def test_calls_side_by_side_with_one_id_have_their_results_in_order(call_id: str | None) -> None:
    results = [result(id=call_id), result("t2", id=call_id, content="3"), result("t3", id=call_id, content="4")]
    asked = [call(id=call_id), call(id=call_id, args={"a": 2}), *results[:2], DONE]
    assert shown(*asked) == ["<step-start>", ("add", {"a": 1}, "2"), ("add", {"a": 2}, "3")]
    again = [call("m2", id=call_id, args={"a": 5}), results[2], DONE]
    assert shown(call(id=call_id), RETRY, NewEvent.processing(2), *again)[-1] == ("add", {"a": 5}, "4")


def test_texts_that_are_no_answer_are_marked_unless_the_memory_keeps_them() -> None:
    assert shown(text("draft"), discard(kept=False), text("real", "m2"), DONE) == ["<step-start>", "~draft~", "real"]
    assert shown(text("first"), discard(kept=True), text("real", "m2"), DONE) == ["<step-start>", "first", "real"]


def test_parallel_texts_are_apart() -> None:
    pieces = [text("a"), text("1", "m2"), text("b"), text("2", "m2")]
    assert shown(*pieces, DONE) == ["<step-start>", "ab", "12"]
    assert shown(pieces[0], result(), pieces[2], DONE)[-2:] == ["<step-start>", "b"]


def test_each_end_has_its_chunk() -> None:
    assert read(log(text("a"), NewEvent.failed("no credit", "rate_limited", NOW))).end == {
        "type": "error",
        "errorText": "no credit",
    }
    assert read(log(text("a"), NewEvent.cancelled(NOW))).end == {
        "type": "abort",
        "reason": "The message was cancelled.",
    }


def test_usage_is_the_sum_of_all_calls() -> None:
    counts = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "calls": 1}
    used = NewEvent.of(EventType.USAGE, models={"a": counts, "b": counts})
    assert read(log(used, text("a"), used, DONE)).metadata == {
        "usage": {"inputTokens": 12, "outputTokens": 8, "totalTokens": 20}
    }


def test_what_the_agent_wrote_is_shown_once_and_not_kept() -> None:
    message = read(log(NewEvent.shown("custom", {"step": 1}), DONE))
    assert message.transient == [{"type": "data-custom", "data": {"step": 1}, "transient": True}]
    assert message.parts == []


ASKED = log(NewEvent.processing(1), text("One"), ASKS, RESUMED, NewEvent.processing(2), text("One"), text("Two", "m2"))


def test_an_answer_goes_on_with_the_message() -> None:
    events = [*ASKED, Event(8, DONE.type, DONE.data, 0)]
    view = ChatView("run", 4, whole=False)
    _, progress = frames_of(view, Progress(), events[:3])
    assert read(events[3:], view, progress).shown() == ["<step-start>", "Two"]
    whole = read(events, ChatView("run", 4))
    question = ("ask_human", {"ask": "Sure?"}, {"ok": True})
    assert whole.shown() == ["<step-start>", "One", question, "<step-start>", "Two"]
    assert read(events[:3]).end is not None, "a page that comes back finds the open question"


def test_a_message_that_ends_with_an_answer_does_not_end_with_its_question() -> None:
    """Pages post a message by themselves while its last step has nothing but answered calls."""
    events = log(NewEvent.processing(1), ASKS, RESUMED, NewEvent.processing(2), DONE)
    view = ChatView("run", 3, whole=False)
    _, progress = frames_of(view, Progress(), events[:2])
    assert read(events[2:], view, progress).shown() == ["<step-start>"]


def test_the_usage_after_an_answer_is_that_of_the_whole_message() -> None:
    used = NewEvent.of(EventType.USAGE, models={"a": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}})
    events = log(NewEvent.processing(1), used, ASKS, RESUMED, NewEvent.processing(2), used, DONE)
    _, progress = frames_of(ChatView("run", 4, whole=False), Progress(), events[:3])
    rest = read(events[3:], ChatView("run", 4, whole=False), progress)
    assert rest.metadata == {"usage": {"inputTokens": 6, "outputTokens": 4, "totalTokens": 10}}


def test_nothing_follows_the_end_of_a_request() -> None:
    body, progress = frames_of(ChatView("run"), Progress(), ASKED)
    assert progress.ended
    assert body.endswith(b"data: [DONE]\n\n")
    assert b"Two" not in body


MESSAGES = st.sampled_from(["m1", "m2", "m3"])
TEXTS = st.builds(text, st.sampled_from(["a", "\u2028", ""]), MESSAGES, st.sampled_from(["content", "reasoning"]))
PIECES = st.one_of(
    TEXTS,
    st.builds(call, MESSAGES, id=st.sampled_from(["c1", "c2", None])),
    st.builds(result, MESSAGES, id=st.sampled_from(["c1", "c2", None]), status=st.sampled_from(["success", "error"])),
    st.builds(discard, MESSAGES, kept=st.booleans()),
    st.sampled_from([RETRY, NewEvent.processing(1), NewEvent.shown("custom", 1), RESUMED, ASKS]),
)
ENDS = st.sampled_from([DONE, NewEvent.cancelled(NOW), NewEvent.failed("no", "agent_error", NOW), ASKS])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=20), ENDS, st.data())
def test_each_log_gives_a_stream_that_the_ai_sdk_takes(
    pieces: list[NewEvent], end: NewEvent, data: st.DataObject
) -> None:
    events = log(NewEvent.processing(1), *pieces, end)
    view = ChatView("run", data.draw(st.integers(0, len(events))), whole=True)
    whole, _ = frames_of(view, Progress(), events)
    message = ReadMessage().take(*chunks_of(start_of(view) + whole))
    assert message.end is not None
    cut = data.draw(st.integers(0, len(events)))
    first, progress = frames_of(view, Progress(), events[:cut])
    assert first + frames_of(view, progress, events[cut:])[0] == whole, "however the events come"
