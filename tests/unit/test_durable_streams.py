"""Offsets, cursors and forms of streams."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.models.events import Event, EventType
from app.protocols.durable_streams import cursors, places
from app.protocols.durable_streams.forms import Segment, json_body, json_data
from app.protocols.durable_streams.places import Place

PLACES = st.builds(Place, st.integers(0, 10**12 - 1), st.integers(0, 2**63 - 1))


@given(PLACES, PLACES)
def test_offsets_sort_like_their_places(one: Place, other: Place) -> None:
    for offset_of in (lambda place: places.thread_offset(place, "abc"), places.message_offset):
        first, second = (
            each if offset_of is not places.message_offset else Place(0, each.event) for each in (one, other)
        )
        assert (offset_of(first) < offset_of(second)) is (first < second)
        assert not {places.BEGINNING, places.NOW} & {offset_of(first)}
        assert not set(offset_of(first)) & set(",&=?/ ")


@given(PLACES)
def test_an_offset_is_read_as_its_place(place: Place) -> None:
    assert places.thread_place(places.thread_offset(place, "0f")) == (place, "0f")
    assert places.message_place(places.message_offset(place)) == Place(0, place.event)


@given(st.text())
def test_other_texts_are_no_offsets(text: str) -> None:
    for read in (places.message_place, places.thread_place):
        with pytest.raises(InvalidRequest, match="offset"):
            read(text)


def test_no_event_has_an_id_that_no_store_can_hold() -> None:
    for read, text in ((places.message_place, "9" * 19), (places.thread_place, f"{'1' * 12}_{'9' * 19}_a")):
        with pytest.raises(InvalidRequest, match="offset"):
            read(text)


NOW = cursors.EPOCH + 1_000.5


@pytest.mark.parametrize("given_cursor", [None, "", "x", "-1", "1.5", "0", "49", "9" * 40])
def test_the_cursor_is_the_interval_of_now(given_cursor: str | None) -> None:
    assert cursors.cursor_after(given_cursor, NOW) == 50


@pytest.mark.parametrize("given_cursor", [50, 51, 10**9])
def test_a_cursor_grows_for_each_reader(given_cursor: int) -> None:
    found = cursors.cursor_after(str(given_cursor), NOW)
    assert given_cursor < found <= given_cursor + 180


def test_events_are_one_array_on_one_line() -> None:
    event = Event(3, EventType.CUSTOM, json.dumps({"data": "a\n\r\u2028é"}), 1_700_000_000_000)
    segments = [Segment('m"1', [event]), Segment("m2", [event])]
    assert json.loads(json_body(segments)) == [
        {
            "message_id": name,
            "id": 3,
            "at": "2023-11-14T22:13:20.000Z",
            "type": "custom",
            "data": {"data": "a\n\r\u2028é"},
        }
        for name in ('m"1', "m2")
    ]
    assert json_data(segments) == b"data:" + json_body(segments)
    assert json_body(segments).splitlines(keepends=True) == [json_body(segments)]
    assert json_body(()) == b"[]\n"
