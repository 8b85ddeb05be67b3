"""The events of AG-UI follow from the events of a message, and are always ones that its client takes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from ag_ui.core import MessagesSnapshotEvent, RunErrorEvent, RunFinishedEvent, StateSnapshotEvent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models.events import Event, EventType, NewEvent
from app.models.usage import MeteredCall, ModelUsage, Tokens
from app.protocols.agui.projection import Progress, RunView, events_of, frame_of, frames_of, state_without_messages
from app.protocols.agui.streams import Named
from app.protocols.agui.transcripts import Transcript
from tests import agui_events
from tests.agui_events import ReadRun

NOW = datetime(2026, 11, 29, tzinfo=UTC)
CALL = {"id": "c1", "name": "add", "args": {"a": 1}}
RESULT = {"id": "c1", "name": "add", "content": "2", "status": "success"}
QUESTION = '[{"id": "q1", "value": {"ask": "Sure?"}}]'
DONE = NewEvent.done("x", NOW)
RETRY = NewEvent.retry(attempt=1, error="it broke", next_at=NOW, discard_from=1)
ASKS = NewEvent.interrupted(attempt=1, interrupts=QUESTION, expires_at=NOW)
RESUMED = NewEvent.resumed(discard_from=4, answers='{"q1": {"ok": true}}')
NAMED = Named("t", "r")

Kind = Literal["content", "reasoning"]


def log(*events: NewEvent) -> list[Event]:
    return [Event(number, event.type, event.data, 0) for number, event in enumerate(events, 1)]


def text(piece: str, message: str = "m1", kind: Kind = "content") -> NewEvent:
    return NewEvent.chunk(kind, piece, 0, message=message, node="model")


def replayed(piece: str, message: str) -> NewEvent:
    """A text of a finished step, as the next attempt shows it again."""
    return NewEvent.chunk("content", piece, 0, message=message)


def call(message: str = "m1", **more: Any) -> NewEvent:
    return NewEvent.chunk("tool_call", {**CALL, **more}, 0, message=message, node="model")


def result(message: str = "t1", **more: Any) -> NewEvent:
    return NewEvent.chunk("tool_result", {**RESULT, **more}, 0, message=message, node="tools")


def discard(message: str = "m1", *, kept: bool) -> NewEvent:
    return NewEvent.chunk("discard", "", 0, message=message, kept=kept, discard_from=1)


def discarded_again(message: str) -> NewEvent:
    """Take back a text of a finished step, as the next attempt shows it again."""
    return NewEvent.chunk("discard", "", 0, message=message, kept=False, discard_from=1)


def node(name: str, state: str, *path: str) -> NewEvent:
    return NewEvent.shown("node", {"state": state, "node": name, "task": "x"}, path=path)


def values(**state: Any) -> NewEvent:
    return NewEvent.shown("values", {"messages": [{"id": "m"}], **state})


def read(events: Sequence[Event], view: RunView | None = None, progress: Progress | None = None) -> ReadRun:
    """What a client makes of a stream of these events."""
    body, after = frames_of(view or RunView("run"), progress or Progress(), events)
    whole = frame_of(NAMED.start("run")) + body + (b"" if after.end is None else frame_of(NAMED.last(after.end)))
    return ReadRun().take(*agui_events.events_of(whole))


def shown(*events: NewEvent) -> list[Any]:
    return read(log(NewEvent.processing(1), *events)).shown()


def test_a_text_is_one_message() -> None:
    run = read(log(NewEvent.processing(1), text("The "), text("capital"), DONE))
    assert (run.started["threadId"], run.started["runId"], run.started["protocolVersion"]) == ("t", "r", "1.0")
    assert run.started["metadata"] == {"agentq": {"message_id": "run"}}
    assert run.messages == [{"id": "m1", "role": "assistant", "content": "The capital", "metadata": {}}]
    assert run.end == {
        "type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "success"}, "result": "x"
    }  # fmt: skip


def test_reasoning_tools_and_the_text_after_them() -> None:
    thought = text("Hm", kind="reasoning")
    run = read(log(thought, text("Let me see."), call(), result(), text("2", "m2"), DONE))
    assert run.shown() == ["(Hm)", "Let me see.", ("add", '{"a": 1}'), ("tool", "2"), "2"]
    assert [each["id"] for each in run.messages] == ["m1-reasoning", "m1", "t1", "m2"]
    failed = read(log(result(content=["no"], status="error"), DONE))
    assert failed.shown() == [("add", "{}"), ("tool", '["no"]')]
    assert failed.messages[-1]["metadata"] == {"agentq": {"status": "error"}}


def test_texts_of_parallel_branches_go_to_their_messages() -> None:
    pieces = [text("a", "m1"), text("b", "m2"), text("c", "m1"), text("x", "m2", "reasoning"), text("d", "m2")]
    assert shown(*pieces, DONE) == ["ac", "bd", "(x)"]


def test_calls_without_ids_or_with_one_id_are_told_apart() -> None:
    run = read(
        log(call(id=None), call(id=None, args={"a": 2}), result(id=None), result("t2", id=None), call("m2"), DONE)
    )
    first, second, third = (each["id"] for each in run.calls())
    assert [each["toolCallId"] for each in run.messages if each["role"] == "tool"] == [first, second]
    assert third == "c1"


def test_a_question_ends_the_run_and_its_answer_begins_another() -> None:
    events = log(
        NewEvent.processing(1),
        text("Step."),
        ASKS,
        RESUMED,
        NewEvent.processing(1),
        text("Step."),
        text("Yes", "m2"),
        DONE,
    )
    asked = read(events)
    assert asked.end is not None
    (question,) = asked.end["outcome"]["interrupts"]
    assert question == {
        "id": "q1", "reason": "input_required", "expiresAt": "2026-11-29T00:00:00.000Z",
        "metadata": {"value": {"ask": "Sure?"}},
    }  # fmt: skip
    view = RunView("run", first_event=4)
    _, progress = events_of(view, Progress(), events[:3])
    assert progress.end is None
    assert read(events[3:], view, progress).shown() == ["Yes"], "a finished step is not shown again"


@pytest.mark.parametrize(
    ("value", "reason", "message", "schema"),
    [
        ("Sure?", "input_required", "Sure?", None),
        (5, "input_required", None, None),
        (
            {"question": "Q", "reason": "approval", "response_schema": {"type": "string"}},
            "approval",
            "Q",
            {"type": "string"},
        ),
        ({"message": 5, "description": "D", "reason": "", "response_schema": "x"}, "input_required", "D", None),
    ],
)
def test_a_question_has_what_its_value_tells(value: Any, reason: str, message: str | None, schema: Any) -> None:
    asks = NewEvent.interrupted(attempt=1, interrupts=json.dumps([{"id": "q", "value": value}]), expires_at=NOW)
    end = read(log(asks)).end
    assert end is not None
    (question,) = end["outcome"]["interrupts"]
    assert (question["reason"], question.get("message"), question.get("responseSchema")) == (reason, message, schema)
    assert question["metadata"] == {"value": value}


def test_a_retry_glues_no_texts_and_marks_the_unfinished_one() -> None:
    first = [NewEvent.processing(1), call(), result(), text("hal", "m2")]
    run = read(log(*first, RETRY, NewEvent.processing(2), call(), result(), text("half", "m3"), DONE))
    assert run.shown() == [("add", '{"a": 1}'), ("tool", "2"), "~hal~", "half"]
    assert run.custom == [("retry", {"attempt": 1, "error": "it broke", "nextAt": "2026-11-29T00:00:00.000Z"})]


def test_a_text_that_was_finished_before_a_retry_is_shown_once_and_not_marked() -> None:
    again = [NewEvent.processing(2), text("One"), text("Two", "m2"), DONE]
    assert read(log(NewEvent.processing(1), text("One"), RETRY, *again)).shown() == ["One", "Two"]
    failed = NewEvent.failed("no", "agent_error", NOW)
    broken = read(log(NewEvent.processing(1), text("One"), RETRY, NewEvent.processing(2), failed))
    assert (broken.shown(), broken.outcome) == (["~One~"], "agent_error")


def test_a_finished_text_that_the_next_attempt_does_not_have_is_marked() -> None:
    first = [node("a", "start"), text("Half", kind="reasoning"), text("Half."), node("a", "end")]
    again = [NewEvent.processing(2), text("Half.", "m2"), DONE]
    assert shown(*first, RETRY, *again) == ["(~Half~)", "~Half.~", "Half."]
    failed = NewEvent.failed("no", "agent_error", NOW)
    assert shown(*first, RETRY, NewEvent.processing(2), failed) == ["(~Half~)", "~Half.~"]
    twice = [RETRY, NewEvent.processing(2), RETRY, NewEvent.processing(3)]
    assert shown(*first, *twice, text("Half.", "m2"), DONE) == ["(~Half~)", "~Half.~", "Half."]


def test_a_text_before_a_question_is_marked_if_it_is_not_shown_again_after_the_answer() -> None:
    asked = [replayed("Step.", "m0"), node("ask", "start"), text("Shall I?"), ASKS]
    assert shown(*asked) == ["Step.", "Shall I?"]
    events = log(NewEvent.processing(1), *asked, RESUMED, NewEvent.processing(1), replayed("Step.", "m0"))
    rest = log(*(NewEvent.processing(1) for _ in events), text("Yes", "m2"), DONE)[len(events) :]
    view = RunView("run", first_event=6)
    made, progress = events_of(view, Progress(), [*events, *rest])
    transcript = Transcript()
    transcript.take(made)
    assert [each.content for each in transcript.messages(without=progress.gone)] == ["Step.", "Yes"]
    _, before = events_of(view, Progress(), events[:5])
    back = ReadRun([{"id": "m0", "role": "assistant", "content": "Step."}, {"id": "m1", "role": "assistant"}])
    body, after = frames_of(view, before, [*events[5:], *rest])
    assert after.end is not None
    whole = frame_of(NAMED.start("run")) + body + frame_of(NAMED.last(after.end))
    assert back.take(*agui_events.events_of(whole)).shown() == ["Step.", "~~", "Yes"]


def test_steps_that_an_attempt_shows_again_are_not_marked_in_whichever_order_they_come() -> None:
    first = [text("B", "m2"), RETRY, NewEvent.processing(2)]
    assert shown(*first, replayed("A", "m1"), replayed("B", "m2"), text("C", "m3"), DONE) == ["B", "A", "C"]
    edited = [text("One", "m1"), text("Two", "m2"), RETRY, NewEvent.processing(2)]
    assert shown(*edited, replayed("Uno", "m1"), replayed("Two", "m2"), text("C", "m3"), DONE) == [
        *("~One~", "Two", "Uno", "C"),
    ]
    reused = [text("One", "m1"), RETRY, NewEvent.processing(2), text("C", "m3"), text("One", "m1"), DONE]
    assert shown(*reused) == ["~One~", "C", "One"], "a text that comes after all is a message of its own"


def test_a_text_is_begun_and_finished_once_however_many_pieces_it_has() -> None:
    made, _ = events_of(
        RunView("run"), Progress(), log(NewEvent.processing(1), *map(text, "abc"), NewEvent.done("abc", NOW))
    )
    assert [each.type.value for each in made] == [
        "TEXT_MESSAGE_START", *["TEXT_MESSAGE_CONTENT"] * 3, "TEXT_MESSAGE_END",
    ]  # fmt: skip


def test_a_state_that_is_no_object_is_shown_as_it_is() -> None:
    assert state_without_messages([1]) == [1]
    (made,) = events_of(RunView("run"), Progress(), log(NewEvent.shown("values", ["x"])))[0]
    assert isinstance(made, StateSnapshotEvent)
    assert made.snapshot == ["x"]


def test_a_text_that_the_next_attempt_takes_back_again_leaves_the_others_in_doubt() -> None:
    """The attempt shows its finished steps again before anything else. A text among them that is no answer is one."""
    first = [replayed("Draft", "m0"), text("Step", "m1"), text("Half", "m2"), RETRY, NewEvent.processing(2)]
    again = [replayed("Draft", "m0"), discarded_again("m0"), replayed("Step", "m1"), text("Whole", "m3"), DONE]
    assert shown(*first, *again) == ["~Draft~", "Step", "~Half~", "Whole"]


def test_tools_of_a_failed_attempt_are_gone_from_a_page_that_comes_back() -> None:
    first = [call(), result(), RETRY, NewEvent.processing(2)]
    events = log(NewEvent.processing(1), *first, call("m2"), result("t2"), text("2", "m3"), DONE)
    live = read(events)
    assert live.shown() == ["~~", ("add", '{"a": 1}'), ("tool", "2"), ("add", '{"a": 1}'), ("tool", "2"), "2"]
    made, progress = events_of(RunView("run"), Progress(), events)
    transcript = Transcript()
    transcript.take(made)
    assert [each.id for each in transcript.messages(without=progress.gone)] == ["m2", "t2", "m3"]
    output = NewEvent.chunk("content", "x", 0)
    unanswered = [call(), RETRY, NewEvent.processing(2), text("2", "m2"), output, DONE]
    assert shown(*unanswered)[-1] == "x", "nobody waits for the answer to a call that does not count"


def test_other_text_under_the_id_of_an_earlier_attempt_is_a_message_of_its_own() -> None:
    first = [NewEvent.processing(1), text("Step", "m0"), text("Yes, bec")]
    again = [NewEvent.processing(2), text("Step", "m0"), text("Ye"), text("sterday"), text("."), DONE]
    assert read(log(*first, RETRY, *again)).shown() == ["Step", "~Yes, bec~", "Yesterday."]


def test_a_text_that_is_not_the_answer_is_marked_and_one_on_the_way_to_it_is_not() -> None:
    assert shown(text("Draft"), discard(kept=False), text("Real", "m2"), DONE) == ["~Draft~", "Real"]
    assert shown(text("Let me look."), discard(kept=True), text("Real", "m2"), DONE) == ["Let me look.", "Real"]
    steps = [node("model", "start"), text("Draft"), node("model", "end"), discard(kept=False)]
    assert shown(*steps, text("Real", "m2"), DONE) == ["~Draft~", "Real"], "also if its step has finished it"
    assert shown(call(), discard(kept=False), result(), DONE) == [("add", '{"a": 1}'), ("tool", "2")]


def test_steps_are_nodes_and_those_that_run_side_by_side_are_one() -> None:
    events = [node("a", "start"), node("a", "start"), node("in", "start", "a"), node("in", "end", "a")]
    run = read(log(*events, node("a", "end"), node("a", "end"), node("b", "start"), text("x"), DONE))
    assert run.steps == ["a", "a/in", "b"]
    retried = read(log(node("a", "start"), RETRY, node("a", "start"), node("a", "end"), DONE))
    assert retried.steps == ["a", "a"]


def test_the_state_is_shown_without_messages_when_it_has_changed() -> None:
    body, _ = frames_of(RunView("run"), Progress(), log(values(), values(a=1), values(a=1), values(a=2), values()))
    snapshots = [each["snapshot"] for each in agui_events.events_of(body)]
    assert snapshots == [{"a": 1}, {"a": 2}, {}]
    inner = NewEvent.shown("values", {"b": 1}, path=["inner"])
    assert frames_of(RunView("run"), Progress(), log(inner))[0] == b""


def test_the_usage_is_that_of_all_calls_by_model() -> None:
    counts = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "output_token_details": {"reasoning": 1}}
    used = NewEvent.usage([MeteredCall(counts, ModelUsage("gpt", Tokens()))])
    events = log(used, used, DONE)
    end = read(events).end
    assert end is not None
    assert end["usage"] == [
        {"model": "gpt", "inputTokens": 6, "outputTokens": 8, "totalTokens": 14, "reasoningTokens": 2}
    ]


def test_a_client_of_before_the_version_gets_a_cancel_as_an_error() -> None:
    _, progress = events_of(RunView("run"), Progress(), log(NewEvent.cancelled(NOW)))
    assert progress.end is not None
    finished, refused = NAMED.last(progress.end), NAMED._replace(knows_version=False).last(progress.end)
    assert isinstance(finished, RunFinishedEvent)
    assert finished.outcome is not None
    assert finished.outcome.type == "cancelled"
    assert isinstance(refused, RunErrorEvent)
    assert refused.code == "cancelled"


def test_an_omitted_event_gives_nothing() -> None:
    large = NewEvent.of(EventType.CUSTOM, data=None, omitted=5)
    assert frames_of(RunView("run"), Progress(), log(large))[0] == b""
    assert read(log(NewEvent.shown("custom", {"a": None}), DONE)).custom == [("custom", {"a": None})]


MESSAGES = st.sampled_from(["m1", "m2", "m3"])

# A text stands for the result of the tool call with this id. The next attempt begins before anything else of it.
PIECES = st.one_of(
    st.builds(text, st.sampled_from(["a", "b", "ab"]), MESSAGES, st.sampled_from(["content", "reasoning"])),
    st.builds(call, MESSAGES, id=st.sampled_from(["c1", "c2", None])),
    st.builds(discard, MESSAGES, kept=st.booleans()),
    st.builds(node, st.sampled_from(["a", "b"]), st.sampled_from(["start", "end"])),
    st.builds(lambda n: values(a=n), st.integers(0, 2)),
    st.sampled_from(["c1", "c2"]),
    st.just(RETRY), st.just(NewEvent.processing(1)), st.just(NewEvent.shown("custom", {"a": 1})),
)  # fmt: skip
ENDINGS = st.sampled_from([DONE, NewEvent.failed("no", "agent_error", NOW), NewEvent.cancelled(NOW), ASKS])


@given(st.lists(PIECES, max_size=25), ENDINGS, st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_log_gives_a_legal_stream_and_a_page_that_comes_back_has_the_same(
    pieces: list[NewEvent | str], end: NewEvent, data: st.DataObject
) -> None:
    numbered = [result(f"t{at}", id=each) if isinstance(each, str) else each for at, each in enumerate(pieces)]
    begun = [each for piece in numbered for each in ((RETRY, NewEvent.processing(2)) if piece is RETRY else (piece,))]
    events = log(NewEvent.processing(1), *begun, end)
    whole = read(events)
    assert whole.end is not None
    cut = data.draw(st.integers(0, len(events)))
    made, progress = events_of(RunView("run"), Progress(), events[:cut])
    transcript = Transcript()
    transcript.take(made)
    frames = [
        NAMED.start("run"),
        MessagesSnapshotEvent(messages=transcript.messages(without=progress.gone)),
        *progress.parts.opened_again(),
    ]
    body, after = frames_of(RunView("run"), progress, events[cut:])
    assert after.end is not None
    rest = b"".join(map(frame_of, frames)) + body + frame_of(NAMED.last(after.end))
    back = ReadRun().take(*agui_events.events_of(rest))
    gone = set(after.gone)
    voided = discarded(whole) | discarded(back) | gone
    assert texts(back, voided) == texts(whole, voided)
    assert calls(back, gone) == calls(whole, gone)


def calls(run: ReadRun, but: set[str]) -> dict[str, list[Any]]:
    """The tool calls by the ids of their messages."""
    return {each["id"]: each["toolCalls"] for each in run.messages if each.get("toolCalls") and each["id"] not in but}


def discarded(run: ReadRun) -> set[str]:
    """The ids of messages whose text is not part of the answer."""
    return {each["id"] for each in run.messages if "agentq" in each.get("metadata", {}) and each["role"] != "tool"}


def texts(run: ReadRun, but: set[str]) -> dict[str, str]:
    """The texts of messages by their ids."""
    return {each["id"]: each["content"] for each in run.messages if each.get("content") and each["id"] not in but}


def test_a_page_that_comes_back_gets_no_text_that_is_not_the_answer() -> None:
    transcript = Transcript()
    pieces = [
        text("Draft"),
        call(),
        discard(kept=False),
        text("Kept", "m2"),
        discard("m2", kept=True),
        text("So", "m3"),
    ]
    transcript.take(events_of(RunView("run"), Progress(), log(*pieces))[0])
    draft, *others = [each.model_dump() for each in transcript.messages()]
    assert (draft["id"], draft.get("content"), [each["id"] for each in draft["tool_calls"]]) == ("m1", None, ["c1"])
    assert [(each["id"], each["content"]) for each in others] == [("m2", "Kept"), ("m3", "So")]
