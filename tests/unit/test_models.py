"""The words of the domain: ids, texts, times, events."""

import json
import math
import random
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from app.clock import SteadyClock, to_datetime
from app.models.events import TERMINAL_EVENTS, EventType, NewEvent
from app.models.messages import Message, Priority, new_message_id
from app.models.types import THREAD_ID_MAX_LENGTH, Moment, Text, ThreadId
from app.text import MAX_JSON_DEPTH, not_blank, rfc3339, scrubbed, storable, storable_json
from tests import hostile
from tests import state_classes as classes

MOMENT = datetime(2024, 1, 15, 10, 30, 5, 123_456, UTC)
ANY_TEXT = st.text(st.characters(categories=None))
ANY_TIME = st.integers(0, 7_258_118_400_000)  # 1970 to 2200
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)

_text = TypeAdapter[str](Text)
_thread_id = TypeAdapter[str](ThreadId)
_moment = TypeAdapter[datetime](Moment)


# Ids


def test_message_ids_are_uuids_that_sort_in_the_order_of_making() -> None:
    ids = [new_message_id() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(each).version == 7 and str(uuid.UUID(each)) == each for each in random.sample(ids, 100))


# Texts


@pytest.mark.parametrize(
    "text", ["", "a", " \n\t", "👩‍👩‍👧‍👦", "\x01\x1f\x7f\x85\u2028", "\ufeff\uffff", "\U0010ffff"]
)
def test_what_utf_8_can_carry_is_storable(text: str) -> None:
    assert storable(text) == text


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfffb", "\ud83d\ude00"])
def test_nul_and_lone_surrogates_are_not_storable(text: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        storable(text)
    with pytest.raises(ValidationError, match="must not contain"):
        _text.validate_python(text)


def to_character(halves: str) -> str:
    high, low = map(ord, halves)
    return chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00)


@given(ANY_TEXT)
def test_scrubbed_text_is_storable_and_otherwise_the_same(text: str) -> None:
    clean = scrubbed(text)
    assert storable(clean) == clean
    joined = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda pair: to_character(pair[0]), text)
    assert len(clean) == len(joined)
    for before, after in zip(joined, clean, strict=True):
        assert before in (after, "\x00") or "\ud800" <= before <= "\udfff"


@pytest.mark.parametrize("text", ["", " ", "\n\t\r", "\u00a0\u2003"])
def test_white_space_alone_is_blank(text: str) -> None:
    with pytest.raises(ValueError, match="blank"):
        not_blank(text)
    assert not_blank(text + "x") == text + "x"


@pytest.mark.parametrize("value", [1, None, b"bytes", ["a"], True])
def test_only_strings_are_texts(value: object) -> None:
    with pytest.raises(ValidationError):
        _text.validate_python(value)


@pytest.mark.parametrize("thread", ["x", "a/b", "%2F", " ", "é", "😀" * THREAD_ID_MAX_LENGTH])
def test_thread_ids_are_any_text_of_1_to_255_characters(thread: str) -> None:
    assert _thread_id.validate_python(thread) == thread


@pytest.mark.parametrize("thread", ["", "x" * (THREAD_ID_MAX_LENGTH + 1), "\x00", "\ud800"])
def test_other_thread_ids_are_refused(thread: str) -> None:
    with pytest.raises(ValidationError):
        _thread_id.validate_python(thread)


# Times


def test_times_leave_as_utc_with_milliseconds_and_z() -> None:
    assert rfc3339(MOMENT) == "2024-01-15T10:30:05.123Z"
    assert rfc3339(MOMENT.replace(microsecond=0)) == "2024-01-15T10:30:05.000Z"


@pytest.mark.parametrize("hours", [-12, -5.5, 0, 1, 14])
def test_times_of_other_zones_leave_as_utc_too(hours: float) -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=hours)))
    assert rfc3339(elsewhere) == "2024-01-15T10:30:05.123Z"


@given(ANY_TIME)
def test_a_stored_time_is_told_to_the_millisecond(milliseconds: int) -> None:
    moment = to_datetime(milliseconds)
    assert moment.tzinfo is UTC
    told = datetime.fromisoformat(rfc3339(moment))
    assert round(told.timestamp() * 1000) == milliseconds


@given(ANY_TIME, ANY_TIME)
def test_times_sort_as_they_are_told(one: int, other: int) -> None:
    assert (one < other) == (rfc3339(to_datetime(one)) < rfc3339(to_datetime(other)))


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValidationError):
        _moment.validate_python(MOMENT.replace(tzinfo=None))


def test_the_system_clock_tells_this_moment() -> None:
    before = datetime.now(UTC)
    assert before - timedelta(milliseconds=1) <= to_datetime(SteadyClock().now()) <= datetime.now(UTC)


# Messages


def message(**fields: Any) -> Message:
    """A message with these fields."""
    required = [name for name in Message._fields if name not in Message._field_defaults]
    values: dict[str, Any] = dict.fromkeys(required) | {
        "number": 1,
        "id": "m",
        "tenant": "default",
        "thread_number": 0,
        "agent": "chat",
        "content": "Hello",
        "priority": "normal",
        "state": "queued",
        "created_at": MOMENT,
        "attempt": 0,
        "fence": 0,
    }
    return Message(**(values | fields))


def test_priorities_have_levels_from_the_most_urgent_on() -> None:
    assert sorted(Priority, key=lambda priority: priority.level) == [Priority.HIGH, Priority.NORMAL, Priority.LOW]
    assert [Priority(value).level for value in ("high", "normal", "low")] == [0, 1, 2]
    with pytest.raises(ValueError, match="urgent"):
        Priority("urgent")


def test_the_memory_of_a_thread_is_shared_and_that_of_a_message_is_its_own() -> None:
    one, two = message(id="1", thread_id="t"), message(id="2", thread_id="t")
    assert one.memory_key == two.memory_key
    keys = {
        one.memory_key,
        message(id="1").memory_key,
        message(id="2").memory_key,
        message(id="3", thread_id="1").memory_key,
        message(id="4", thread_id="t", tenant="other").memory_key,
        message(id="1", tenant="other").memory_key,
    }
    assert len(keys) == 6


# Events


@given(JSON, st.integers(0, 10**6))
def test_the_data_of_an_event_is_one_line_of_ascii_json(chunk: object, index: int) -> None:
    event = NewEvent.chunk("tool_result", chunk, index)
    assert event.data.isascii()
    assert event.data.isprintable()
    assert json.loads(event.data) == {"type": "tool_result", "chunk": storable_json(chunk), "index": index}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_data_of_an_event_can_be_read_by_any_json_parser(number: float) -> None:
    """A model's tool call may hold NaN, which Python writes and JSON does not know."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    json.loads(NewEvent.chunk("tool_call", {"args": {"x": number}}, 0).data, parse_constant=refuse)


@given(JSON)
def test_json_values_stay_as_they_are_but_for_lone_surrogates(value: object) -> None:
    stored = storable_json(value)
    assert json.dumps(stored, ensure_ascii=False).encode()
    if json.dumps(value, ensure_ascii=False).isascii():
        assert stored == value


WEATHER = classes.Weather(city="Oslo", degrees=math.inf)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00Z"),
        (timedelta(hours=1), "PT1H"),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({(1, 2)}), [[1, 2]]),
        (b"\xff", "/w=="),
        (Priority.HIGH, "high"),
        (classes.Colour.RED, "red"),
        (classes.Plan({1: classes.Point(1)}), {"steps": {"1": {"x": 1, "y": 2}}}),
        (WEATHER, {"city": "Oslo", "degrees": None}),
        (classes.Tags(["a"]), ["a"]),
        ([10**5_000], [hex(10**5_000)]),
        (2**70, 2**70),
        ("\ud83d\ude00 \ud83d", "\U0001f600 ?"),
        ({(1, 2): 1, None: 2, b"x": 3}, {"[1, 2]": 1, "None": 2, "eA==": 3}),
        (classes.ring(), ["…"]),
        (classes.ring_of_plans(), {"steps": ["…"]}),
        (classes.NoText(), "<NoText>"),
        ([hostile.Hostile()], ["<Hostile>"]),
        (Decimal("1.10"), "1.10"),
        (int, "<class 'int'>"),
    ],
)
def test_what_json_does_not_know_is_told_by_its_data(value: object, expected: object) -> None:
    assert json.loads(NewEvent.chunk("tool_result", {"x": [value]}, 0).data)["chunk"] == {"x": [expected]}


def test_a_deep_nest_is_cut_off_where_writers_of_json_still_take_it() -> None:
    assert to_json(storable_json(classes.nest(5_000))).count(b"[") == MAX_JSON_DEPTH


def test_events_have_the_fields_of_the_specification_in_its_order() -> None:
    """Readers see these bytes."""
    events = [
        NewEvent.processing(2),
        NewEvent.chunk("content", "The capital ", 0),
        NewEvent.chunk("content", "of ", 1, message="m1", node="model"),
        NewEvent.chunk("discard", "", 2, message="m1", kept=False, discard_from=3),
        NewEvent.retry(attempt=1, error="Lost.", next_at=MOMENT, discard_from=3),
        NewEvent.done("Paris.", MOMENT),
        NewEvent.done("{}", MOMENT, '{"a": 1}'),
        NewEvent.failed("No.", "agent_error", MOMENT),
        NewEvent.cancelled(MOMENT),
    ]
    assert [f"{event.type} {event.data}".replace(rfc3339(MOMENT), "TIME") for event in events] == [
        'processing {"state": "processing", "attempt": 2}',
        'chunk {"type": "content", "chunk": "The capital ", "index": 0}',
        'chunk {"type": "content", "chunk": "of ", "index": 1, "message": "m1", "node": "model"}',
        'chunk {"type": "discard", "chunk": "", "index": 2, "message": "m1", "kept": false, "discard_from": 3}',
        'retry {"state": "queued", "attempt": 1, "error": "Lost.", "next_at": "TIME", "discard_from": 3}',
        'done {"state": "completed", "result": "Paris.", "completed_at": "TIME"}',
        'done {"state": "completed", "result": "{}", "completed_at": "TIME", "output": {"a": 1}}',
        'error {"state": "failed", "error": "No.", "code": "agent_error", "completed_at": "TIME"}',
        'cancelled {"state": "cancelled", "completed_at": "TIME"}',
    ]


def test_every_end_of_a_message_is_a_terminal_event_and_nothing_else_is() -> None:
    ends = [NewEvent.done("", MOMENT), NewEvent.failed("", "", MOMENT), NewEvent.cancelled(MOMENT)]
    assert {event.type for event in ends} == TERMINAL_EVENTS
    others = {EventType.PROCESSING, EventType.CHUNK, EventType.RETRY, EventType.INTERRUPTED, EventType.RESUMED}
    others |= {EventType.CUSTOM, EventType.NODE, EventType.VALUES, EventType.UPDATES, EventType.USAGE}
    others |= {EventType.MESSAGES, EventType.TASKS, EventType.CHECKPOINTS, EventType.DEBUG, EventType.VERSION}
    assert set(EventType) - TERMINAL_EVENTS == others
