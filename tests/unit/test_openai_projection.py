"""The events of responses and the chunks of completions, made from stored events."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._models import construct_type_unchecked
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from app.clock import to_datetime
from app.models.events import Event, EventType, NewEvent
from app.protocols.openai import chat_projection
from app.protocols.openai.chat_projection import ChatView
from app.protocols.openai.response_projection import (
    Progress,
    ResponseView,
    frames_of,
    opening,
    response_json,
    shown_before,
)
from tests.clock import START as START_MS

START = to_datetime(START_MS)
VIEW = ResponseView("resp_1", "1", "chat", {"id": "resp_1", "object": "response", "created_at": 1, "model": "chat"})
CHAT = ChatView("chatcmpl-1", "chat", 1, includes_usage=True)
PROCESSING = NewEvent.processing(1)
DONE = NewEvent.done("Hello.", START)


def chunk(kind: Any, what: object, message: str = "m", **more: object) -> NewEvent:
    return NewEvent.chunk(kind, what, 0, message=message, **more)


def retry(attempt: int = 1) -> NewEvent:
    return NewEvent.retry(attempt=attempt, error="It broke.", next_at=START, discard_from=1)


def stored(*new: NewEvent) -> list[Event]:
    return [Event(number, each.type, each.data, 0) for number, each in enumerate(new, 1)]


def shown(events: Sequence[Event], progress: Progress | None = None) -> list[dict[str, Any]]:
    """The events of a response, as its readers get them."""
    body, begun = opening(VIEW, progress or Progress(), -1)
    more, _ = frames_of(VIEW, begun, events)
    return [json.loads(frame.split("data: ", 1)[1]) for frame in (body + more).decode().split("\n\n")[:-1]]


def accepted(events: list[dict[str, Any]]) -> Any:
    """The last response, after the client's own helper has taken all events."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        state.handle_event(construct_type_unchecked(value=event, type_=ResponseStreamEvent))
    return events[-1]["response"]


def texts(response: Any) -> list[str]:
    return [item["content"][0]["text"] for item in response["output"] if item["type"] == "message"]


def test_a_text_is_one_item() -> None:
    events = shown(stored(PROCESSING, chunk("content", "Hel"), chunk("content", "lo."), DONE))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "queued", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert texts(accepted(events)) == ["Hello."]
    assert events[-1]["response"]["completed_at"] == int(START.timestamp())


def test_an_attempt_that_failed_leaves_nothing_in_the_output() -> None:
    again = [NewEvent.processing(2), chunk("content", "Hello.")]
    events = shown(stored(PROCESSING, chunk("content", "Hel"), retry(), *again, DONE))
    response = accepted(events)
    assert texts(response) == ["Hello."]
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert added == ["msg_1_m", "msg_1_m_2"]
    ended = [event["item"]["status"] for event in events if event["type"] == "response.output_item.done"]
    assert ended == ["incomplete", "completed"]


@pytest.mark.parametrize("kept", [True, False])
def test_text_that_is_taken_back_is_not_in_the_output(kept: bool) -> None:
    new = [chunk("reasoning", "Hm.", "a"), chunk("content", "Let me see.", "a")]
    back = chunk("discard", "", "a", kept=kept)
    events = shown(stored(PROCESSING, *new, back, chunk("content", "Hello.", "b"), DONE))
    response = accepted(events)
    assert texts(response) == ["Hello."]
    assert [item["type"] for item in response["output"]] == (["reasoning"] if kept else []) + ["message"]


def test_tools_are_calls_with_their_results() -> None:
    calls = [chunk("tool_call", {"id": each, "name": "add", "args": {"a": 1}}) for each in ("1", "2")]
    results = [
        chunk("tool_result", {"id": "2", "name": "add", "content": "no", "status": "error"}, "t2"),
        chunk("tool_result", {"id": "1", "name": "add", "content": ["x"], "status": "success"}, "t1"),
    ]
    response = accepted(shown(stored(PROCESSING, *calls, *results, chunk("content", "Hello.", "b"), DONE)))
    first, second, _ = response["output"]
    assert (first["arguments"], first["output"], first["status"]) == ('{"a": 1}', '["x"]', "completed")
    assert (second["error"]["content"], second["output"], second["status"]) == ("no", None, "failed")


def test_a_run_that_goes_on_shows_only_what_is_its_own() -> None:
    call = chunk("tool_call", {"id": "1", "name": "add", "args": {"a": 1}}, "a")
    before = stored(PROCESSING, chunk("content", "Old.", "old"), call)
    replayed = [chunk("content", "Old.", "old"), call]
    result = chunk("tool_result", {"id": "1", "name": "add", "content": "2", "status": "success"}, "t")
    events = shown(stored(PROCESSING, *replayed, result, DONE), shown_before(before, Progress()))
    response = accepted(events)
    assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]
    assert response["output"][0]["arguments"] == '{"a": 1}'
    assert texts(response) == ["Hello."], "the result stands in for a text that the log does not have"


@pytest.mark.parametrize(
    ("end", "event", "status"),
    [
        (NewEvent.failed("It broke.", "rate_limited", START), "response.failed", "failed"),
        (NewEvent.cancelled(START), "response.incomplete", "cancelled"),
    ],
)
def test_other_ends(end: NewEvent, event: str, status: str) -> None:
    events = shown(stored(PROCESSING, chunk("content", "Hel"), end, chunk("content", "late")))
    response = accepted(events)
    assert (events[-1]["type"], response["status"], response["output"][0]["status"]) == (event, status, "incomplete")
    if status == "failed":
        assert response["error"] == {"code": "rate_limit_exceeded", "message": "It broke.", "type": "rate_limited"}


def test_questions_are_calls_of_a_function() -> None:
    asked = json.dumps([{"id": "a", "value": {"question": "May I?"}}, {"id": "b", "value": "Sure?"}])
    end = NewEvent.interrupted(attempt=1, interrupts=asked, expires_at=START)
    response = accepted(shown(stored(PROCESSING, chunk("content", "Well."), end)))
    calls = response["output"][1:]
    assert [(call["call_id"], json.loads(call["arguments"])) for call in calls] == [
        ("call_1_a", {"question": "May I?"}),
        ("call_1_b", {"value": "Sure?"}),
    ]
    assert texts(response) == ["Well."]


def test_usage_is_that_of_all_attempts() -> None:
    counts = {"input_tokens": 5, "output_tokens": 2, "input_token_details": {"cache_read": 3}}
    used = NewEvent(EventType.USAGE, json.dumps({"models": {"gpt": counts}}))
    response = accepted(shown(stored(PROCESSING, used, retry(), NewEvent.processing(2), used, DONE)))
    assert response["usage"]["total_tokens"] == 14
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 6


MESSAGES = st.sampled_from(["a", "b"])
CALLS = st.sampled_from(["1", "2"])
PIECES = st.one_of(
    st.builds(lambda kind, message: chunk(kind, "x", message), st.sampled_from(["content", "reasoning"]), MESSAGES),
    st.builds(lambda kept, message: chunk("discard", "", message, kept=kept), st.booleans(), MESSAGES),
    st.builds(lambda at, m: chunk("tool_call", {"id": at, "name": "add", "args": {}}, m), CALLS, MESSAGES),
    st.builds(
        lambda at: chunk("tool_result", {"id": at, "name": "add", "content": "1", "status": "success"}, f"t{at}"),
        CALLS,
    ),
    st.builds(retry),
    st.just(PROCESSING),
)
ENDS = st.sampled_from(
    [
        DONE,
        NewEvent.failed("It broke.", "agent_error", START),
        NewEvent.cancelled(START),
        NewEvent.interrupted(attempt=1, interrupts='[{"id": "q", "value": 1}]', expires_at=START),
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES, max_size=25), ENDS, st.integers(-1, 60))
def test_every_order_is_legal_and_can_be_resumed_anywhere(pieces: list[NewEvent], end: NewEvent, after: int) -> None:
    events = stored(PROCESSING, *pieces, end)
    all_shown = shown(events)
    accepted(all_shown)
    _check_items(all_shown)
    body, progress = opening(VIEW, Progress(), after)
    for event in events:
        more, progress = frames_of(VIEW, progress, [event], after)
        body += more
    again = [json.loads(frame.split("data: ", 1)[1]) for frame in body.decode().split("\n\n")[:-1]]
    assert again == all_shown[after + 1 :]


def _check_items(events: list[dict[str, Any]]) -> None:
    """Each item is added once, gets its pieces while it is open, and ends with the text of its pieces."""
    open_items: dict[int, str] = {}
    seen: set[str] = set()
    texts_of: dict[int, str] = {}
    for event in events:
        place: Any = event.get("output_index")
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert place == len(seen)
                assert event["item"]["id"] not in seen
                seen.add(event["item"]["id"])
                open_items[place] = event["item"]["id"]
            case "output_text.delta" | "reasoning_text.delta":
                texts_of[place] = texts_of.get(place, "") + event["delta"]
            case "output_text.done" | "reasoning_text.done":
                assert event["text"] == texts_of[place]
            case "output_item.done":
                assert open_items.pop(place) == event["item"]["id"]
        if "item_id" in event:
            assert open_items[place] == event["item_id"]
    assert open_items == {}


# Chat completions


def chunks(*new: NewEvent) -> list[Any]:
    body, progress = chat_projection.frames_of(CHAT, chat_projection.Progress(), stored(*new))
    assert progress.ended
    return [
        line if line == "[DONE]" else json.loads(line)
        for line in body.decode().replace("data: ", "").split("\n\n")[:-1]
    ]


def said(found: list[Any]) -> str:
    return "".join(
        each["choices"][0]["delta"].get("content", "") for each in found if each != "[DONE]" and each.get("choices")
    )


def test_a_completion_ends_with_its_usage() -> None:
    used = NewEvent(EventType.USAGE, json.dumps({"models": {"gpt": {"input_tokens": 5, "output_tokens": 2}}}))
    found = chunks(PROCESSING, chunk("content", "Hel"), chunk("content", "lo."), used, DONE)
    assert said(found) == "Hello."
    assert found[-3]["choices"][0]["finish_reason"] == "stop"
    assert (found[-2]["choices"], found[-2]["usage"]["total_tokens"], found[-1]) == ([], 7, "[DONE]")


@pytest.mark.parametrize(
    ("second", "text", "ends_well"),
    [(["Hel", "lo."], "Hello.", True), (["Hello."], "Hello.", True), (["He"], "Hel", False), (["Hi."], "Hel", False)],
)
def test_another_attempt_goes_on_behind_what_was_sent(second: list[str], text: str, ends_well: bool) -> None:
    again = [chunk("content", each) for each in second]
    found = chunks(PROCESSING, chunk("content", "Hel"), retry(), NewEvent.processing(2), *again, DONE)
    assert said(found) == text
    assert (found[-1] == "[DONE]") is ends_well
    if not ends_well:
        assert found[-1]["error"]["code"] == "text_diverged"


def test_a_begun_response_has_no_output() -> None:
    assert json.loads(response_json(VIEW, "queued"))["output"] == []
