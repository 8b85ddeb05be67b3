"""Long logs: a part of one costs each surface the same wherever it is in the log."""

import json
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from app.models.events import Event, NewEvent
from app.protocols.agui import projection as agui
from app.protocols.ai_sdk import projection as ai_sdk
from app.protocols.growing_texts import GrowingText, grown
from app.protocols.langgraph import projection as langgraph
from app.protocols.langgraph import thread_projection as agent_protocol
from app.protocols.langgraph.modes import StreamMode
from app.protocols.openai import response_projection as responses

CALLS = 8_000
PART_EVENTS = 40
EARLY, LATE = 4 * PART_EVENTS, 2 * CALLS - PART_EVENTS
LONG_TEXT = 200_000

Project = Callable[[Any, Sequence[Event]], tuple[bytes, Any]]


def runs_of(mode: StreamMode) -> Project:
    view = langgraph.RunView("run", "thread", "agent", "assistant", frozenset({mode}))
    return lambda progress, events: langgraph.frames_of(view, progress, events, langgraph.FrameId(0, -1))


THREAD = agent_protocol.MessageView("m", 1, "agent", agent_protocol.Subscription(frozenset({"messages", "tools"})))
RESPONSE = responses.ResponseView("resp_m", "m", "agent", {"id": "resp_m"})
CHAT = ai_sdk.ChatView("m")
RUN = agui.RunView("m")

PROJECTIONS: dict[str, tuple[Project, Any]] = {
    "pieces": (runs_of(StreamMode.MESSAGES_TUPLE), langgraph.Progress()),
    "whole messages": (runs_of(StreamMode.MESSAGES), langgraph.Progress()),
    "thread": (
        lambda progress, events: agent_protocol.thread_frames(THREAD, progress, events, agent_protocol.Place()),
        agent_protocol.MessageProgress(),
    ),
    "response": (lambda progress, events: responses.frames_of(RESPONSE, progress, events), responses.Progress()),
    "chat": (lambda progress, events: ai_sdk.frames_of(CHAT, progress, events), ai_sdk.Progress()),
    "run": (lambda progress, events: agui.frames_of(RUN, progress, events), agui.Progress()),
}


def call(number: int) -> list[NewEvent]:
    """A tool call in a message of its own, and its result."""
    called = {"id": f"c{number:06}", "name": "add", "args": {}}
    result = {"id": f"c{number:06}", "name": "add", "content": "2", "status": "success"}
    return [
        NewEvent.chunk("tool_call", called, 0, message=f"m{number:06}"),
        NewEvent.chunk("tool_result", result, 1, message=f"t{number:06}"),
    ]


def log(new: Sequence[NewEvent]) -> list[Event]:
    return [Event(number, *event, 0) for number, event in enumerate(new, 1)]


@cache
def called() -> list[Event]:
    """Return the log of all calls. It is made by the first test, since all processes import this module."""
    return log([NewEvent.processing(1), *(event for number in range(CALLS) for event in call(number))])


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_part_of_a_long_log_takes_no_more_memory_than_a_part_of_a_short_one(name: str) -> None:
    project, progress = PROJECTIONS[name]
    peaks: list[int] = []
    for first in range(0, len(called()), PART_EVENTS):
        part = called()[first : first + PART_EVENTS]
        is_measured = first in (EARLY, LATE)
        if is_measured:
            tracemalloc.start()
        body, progress = project(progress, part)
        if is_measured:
            assert body
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    early, late = peaks
    assert late < 3 * early


def test_the_end_of_a_response_joins_items_that_are_encoded_already(monkeypatch: pytest.MonkeyPatch) -> None:
    project, progress = PROJECTIONS["response"]
    begun, end = called()[:1_000], Event(1_001, *NewEvent.cancelled(datetime(2026, 11, 29, tzinfo=UTC)), 0)
    _, progress = project(progress, begun)
    encode, lengths = json.dumps, []

    def dumps(value: Any) -> str:
        text = encode(value)
        lengths.append(len(text))
        return text

    monkeypatch.setattr(json, "dumps", dumps)
    body, _ = project(progress, [end])
    assert max(lengths) < 1_000
    assert body.count(b'"mcp_call"') >= 499


def test_messages_that_are_shown_whole_do_not_grow_with_the_square_of_their_text() -> None:
    project, progress = PROJECTIONS["whole messages"]
    events = log(
        [NewEvent.processing(1), *(NewEvent.chunk("content", "x" * 100, 0, message="m") for _ in range(2_000))]
    )
    body, progress = project(progress, events)
    assert len(body) < 3 * LONG_TEXT
    assert "x" * LONG_TEXT in body.decode()
    more, _ = project(progress, [Event(len(events) + 1, *NewEvent.chunk("content", "end", 0, message="m"), 0)])
    assert f"{'x' * LONG_TEXT}end" in more.decode()


def test_a_growing_text_has_few_parts() -> None:
    text: GrowingText = ()
    for number in range(5_000):
        text = grown(text, f"{number} ")
    assert "".join(text) == "".join(f"{number} " for number in range(5_000))
    assert len(text) < 20
