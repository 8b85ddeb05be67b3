"""`make differential` tells replies that differ from those that differ in ids, times and pieces alone."""

import json
from collections.abc import Sequence
from typing import Any

from tests.differential.__main__ import report
from tests.differential.comparison import MISSING, Comparison, Difference
from tests.differential.known import KNOWN, known_place
from tests.differential.recording import Exchange
from tests.differential.scenarios import SCENARIOS

A, B, C, D = (f"0000000{number}-0000-4000-8000-000000000000" for number in range(4))


def reply(body: Any, path: str = f"/threads/{A}", status: int = 200) -> Exchange:
    return Exchange("GET", path, "", status, {"content-type": "application/json"}, json.dumps(body).encode())


def stream(*frames: tuple[str, Any]) -> Exchange:
    text = "".join(f"event: {event}\ndata: {json.dumps(data)}\nid: {at}\n\n" for at, (event, data) in enumerate(frames))
    return Exchange("POST", "/runs/stream", "", 200, {"content-type": "text/event-stream"}, text.encode())


def piece(text: str, message: str = A) -> tuple[str, Any]:
    return "messages", [
        {"id": message, "type": "AIMessageChunk", "content": text, "tool_calls": [], "tool_call_chunks": []},
        {"node": "model"},
    ]


def places(theirs: Sequence[Exchange], ours: Sequence[Exchange]) -> list[str]:
    return [difference.place for difference in Comparison("talk").differences(theirs, ours)]


def test_ids_times_and_pieces_may_differ() -> None:
    theirs = reply({"id": A, "other": B, "at": "2026-01-01T00:00:00+00:00", A: 1})
    ours = reply({"id": C, "other": D, "at": "2026-02-01T01:00:00.123Z", C: 1}, f"/threads/{C}")
    assert places([theirs], [ours]) == []
    assert places([stream(piece("The "), piece("end"))], [stream(piece("The end", B))]) == []
    assert places([reply([f"lc_run--{A}-0", A])], [reply([f"lc_run--{B}", B])]) == []


def test_other_values_ids_statuses_and_orders_are_found() -> None:
    place = "GET /threads/{}: body"
    assert places([reply({"a": [1], "b": 2})], [reply({"a": [True], "c": 2})]) == [
        f"{place}.a.0", f"{place}.b", f"{place}.c",
    ]  # fmt: skip
    assert places([reply([A, B, A])], [reply([C, D, D])]) == [f"{place}.2"]
    assert places([stream(piece("x", A), ("values", {"id": A}))], [stream(piece("x", B), ("values", {"id": C}))]) == [
        "POST /runs/stream: stream.values.id"
    ]
    assert places([reply({}, status=404)], [reply({})]) == ["GET /threads/{}: status"]
    assert places([reply({"detail": "no"}, status=404)], [reply({"detail": ""}, status=404)]) == [place]
    assert places([reply({}), reply({})], [reply({})]) == ["requests"]
    events = places([stream(("values", {}), ("updates", {}))], [stream(("updates", {}))])
    assert events == ["POST /runs/stream: stream.events.order"]
    assert places([stream(piece("one", A), piece("two", B))], [stream(piece("onetwo", A))]) != []


def test_only_known_differences_pass_and_those_that_are_gone_fail() -> None:
    known = Difference("any", "GET /threads/{}: body.config.tags", ["a"], MISSING)
    unknown = Difference("any", "GET /threads/{}: body.status", "idle", "busy")
    assert known_place(known) is not None
    assert known_place(unknown) is None
    refused, failed = (Difference("runs_of_wrong_bodies", "POST /runs: status", 200, status) for status in (422, 500))
    assert known_place(refused) is not None
    assert known_place(failed) is None
    assert report([known], all_played=False, verbose=False) == 0
    assert report([known, unknown], all_played=False, verbose=False) == 1
    assert report([known], all_played=True, verbose=False) == 1


def test_each_scenario_and_each_reason_stands_once() -> None:
    names = [scenario.__name__ for scenario in SCENARIOS]
    reasons = [known.reason for known in KNOWN]
    assert len(set(names)) == len(names) >= 30
    assert len(set(reasons)) == len(reasons)
