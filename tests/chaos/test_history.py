"""The checker itself: a good history passes, and each forged one breaks exactly the invariant that it should."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.history import (
    LOST,
    RECITE,
    Cancel,
    Event,
    History,
    Reading,
    Reply,
    Seen,
    Sighting,
    Stored,
    Submit,
    check,
    recoveries,
    story,
)

PLAN_A, ANSWER_A = "[plan w0.1/1|a|0.1.]", "[answer w0.1/2|a|0.1.]"
PLAN_B, CUT_B, ANSWER_B = "[plan w0.1/3|a,b|0.1.]", "[answer w0.1/4|a,b|0.", "[answer w1.1/5|a,b|0.1.]"
MEMORY = [("human", "a"), ("ai", PLAN_A), ("ai", ANSWER_A), ("human", "b"), ("ai", PLAN_B), ("ai", ANSWER_B)]
RECITAL = json.dumps([*MEMORY, ("human", RECITE)])


def log_of(*events: tuple[str, dict[str, Any]]) -> list[Event]:
    return [Event(n, kind, data, f"{n} {kind} {data}".encode()) for n, (kind, data) in enumerate(events, 1)]


def attempt(number: int, *texts: str) -> list[tuple[str, dict[str, Any]]]:
    chunks = [("chunk", {"type": "content", "chunk": text, "index": index}) for index, text in enumerate(texts)]
    return [("processing", {"attempt": number}), *chunks]


def retry(discard_from: int, second: int = 3) -> tuple[str, dict[str, Any]]:
    return "retry", {"error": LOST, "discard_from": discard_from, "next_at": f"2026-01-01T00:00:0{second}.000Z"}


def done(result: str) -> tuple[str, dict[str, Any]]:
    return "done", {"result": result}


def message(
    content: str, state: str, times: tuple[int, int] | None, result: str | None, thread: str | None = "t"
) -> Any:
    started, completed = (f"2026-01-01T00:00:0{t}.000Z" for t in times or (9, 9))
    return {
        "user_message": content, "state": state, "thread_id": thread, "result": result, "error": None,
        "error_code": None, "started_at": started if times else None, "completed_at": completed,
    }  # fmt: skip


def good() -> History:
    """Two messages of a thread, the second with a lost attempt; one that was cancelled; the thread's recital."""
    history = History(Seen(), Stored(), recovery_limit=2)
    history.stored.messages = {
        "1": message("a", "completed", (0, 1), ANSWER_A),
        "2": message("b", "completed", (2, 4), ANSWER_B),
        "3": message("c", "cancelled", None, None),
        "4": message("d", "cancelled", None, None, thread=None),
        "5": message(RECITE, "completed", (5, 6), RECITAL),
    }
    history.stored.logs = {
        "1": log_of(*attempt(1, PLAN_A, ANSWER_A), done(ANSWER_A)),
        "2": log_of(*attempt(1, PLAN_B, CUT_B), retry(1), *attempt(2, PLAN_B, ANSWER_B), done(ANSWER_B)),
        "3": log_of(("cancelled", {})),
        "4": log_of(*attempt(1), ("cancelled", {})),
        "5": log_of(*attempt(1, RECITAL), done(RECITAL)),
    }
    history.stored.threads = {"t": ["1", "2", "3", "5"]}
    history.stored.memories = {"t": [*MEMORY, ("human", RECITE)]}
    history.stored.total = 5
    history.seen.submits = [
        Submit("a", "t", 0, 1, Reply.DONE, "1"),
        Submit("b", "t", 2, 3, Reply.UNKNOWN),
        Submit("c", "t", 4, 5, Reply.DONE, "3"),
        Submit("d", None, 0, 5, Reply.DONE, "4"),
        Submit("e", None, 0, 5, Reply.UNKNOWN),
        Submit("f", "t", 5, 6, Reply.REFUSED),
        Submit(RECITE, "t", 7, 8, Reply.DONE, "5"),
    ]
    history.seen.cancels = [Cancel("3", Reply.DONE), Cancel("4", Reply.UNKNOWN), Cancel("1", Reply.REFUSED)]
    log = history.stored.logs["2"]
    history.seen.readings = [Reading("2", 0, tuple(log[:3])), Reading("2", 3, tuple(log[3:]))]
    history.seen.sightings = [Sighting("1", "completed", ANSWER_A)]
    history.seen.running = [("t", "u"), ()]
    history.seen.kills = {"w0.1": 1767225602.0}
    return history


def set_log(history: History, message_id: str, *events: tuple[str, dict[str, Any]]) -> None:
    history.stored.logs[message_id] = log_of(*events)


def missing(history: History) -> None:
    history.seen.submits.append(Submit("g", None, 0, 1, Reply.DONE, "6"))
    history.stored.total = 6


def unfinished(history: History) -> None:
    history.stored.messages["4"]["state"] = "queued"
    del history.stored.logs["4"]


def another_thread(history: History) -> None:
    history.stored.messages["4"]["thread_id"] = "t"


def a_surprise(history: History) -> None:
    history.seen.surprises.append(("1", "GET gave 404"))


def never_sent(history: History) -> None:
    history.stored.messages["4"]["user_message"] = "z"
    history.seen.submits[3] = Submit("d", None, 0, 5, Reply.UNKNOWN)


def stored_twice(history: History) -> None:
    history.stored.messages["6"] = history.stored.messages["4"]
    history.seen.cancels.append(Cancel("6", Reply.DONE))


def refused_but_stored(history: History) -> None:
    history.seen.submits[1] = Submit("b", "t", 2, 3, Reply.REFUSED)


def too_many(history: History) -> None:
    history.stored.total = 7


def cancelled_by_nobody(history: History) -> None:
    history.seen.cancels[1] = Cancel("4", Reply.REFUSED)


def two_ends(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A, ANSWER_A), done(ANSWER_A), *attempt(2, PLAN_A, ANSWER_A), done(ANSWER_A))


def no_end(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A, ANSWER_A))


def an_end_before_the_last(history: History) -> None:
    set_log(history, "1", *attempt(1), done(ANSWER_A), *attempt(2, PLAN_A, ANSWER_A))


def another_state(history: History) -> None:
    set_log(history, "4", *attempt(1), ("error", {"error": None}))


def another_result(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A, ANSWER_A), done(PLAN_A))


def an_end_taken_back(history: History) -> None:
    history.seen.sightings.append(Sighting("3", "failed", None))


def failed_without_losses(history: History) -> None:
    history.stored.messages["4"] |= {"state": "failed", "error_code": "worker_lost", "error": "gone"}
    set_log(history, "4", *attempt(1), ("error", {"error": "gone"}))


def attempt_within_attempt(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A), *attempt(2, PLAN_A, ANSWER_A), done(ANSWER_A))


def chunk_of_another(history: History) -> None:
    zombie = ("chunk", {"chunk": "", "index": 7})
    set_log(history, "1", *attempt(1, PLAN_A, ANSWER_A), zombie, done(ANSWER_A))


def chunk_after_retry(history: History) -> None:
    zombie = ("chunk", {"chunk": "x", "index": 2})
    set_log(history, "1", *attempt(1, PLAN_A), retry(1), zombie, *attempt(2, PLAN_A, ANSWER_A), done(ANSWER_A))


def discards_too_little(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A), retry(2), *attempt(2, PLAN_A, ANSWER_A), done(ANSWER_A))


def ended_outside_an_attempt(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A), retry(1), done(ANSWER_A))


def result_of_another_attempt(history: History) -> None:
    other = ANSWER_A.replace("/2", "/6")
    history.stored.messages["1"]["result"] = other
    history.seen.sightings.clear()
    set_log(history, "1", *attempt(1, PLAN_A, ANSWER_A), done(other))


def a_token_twice(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A.replace("0.1.", "0.1.1."), ANSWER_A), done(ANSWER_A))
    history.stored.memories["t"][1] = ("ai", PLAN_A.replace("0.1.", "0.1.1."))


def tokens_of_two_runs(history: History) -> None:
    set_log(history, "1", *attempt(1, PLAN_A[:-1], PLAN_A, ANSWER_A), done(ANSWER_A))


def a_memory_of_another_attempt(history: History) -> None:
    history.stored.memories["t"][4] = ("ai", PLAN_B.replace("/3", "/6"))


def a_recital_of_another_attempt(history: History) -> None:
    set_log(history, "5", *attempt(1, "[]"), done(RECITAL))


def a_gap_in_the_log(history: History) -> None:
    log = history.stored.logs["1"]
    history.stored.logs["1"] = [*log[:-1], log[-1]._replace(id=9)]


def a_gap_for_a_reader(history: History) -> None:
    history.seen.readings.append(Reading("1", 0, tuple(history.stored.logs["1"][1:])))


def twice_the_same(history: History) -> None:
    history.seen.readings.append(Reading("1", 1, tuple(history.stored.logs["1"])))


def other_bytes(history: History) -> None:
    history.seen.readings.append(Reading("1", 0, (history.stored.logs["1"][0]._replace(raw=b"other"),)))


def two_at_a_time(history: History) -> None:
    history.seen.running.append(("u", "t", "t"))


def one_inside_another(history: History) -> None:
    history.stored.messages["2"]["started_at"] = "2026-01-01T00:00:00.500Z"


def behind_a_later_one(history: History) -> None:
    history.seen.submits[0] = Submit("a", "t", 5.5, 6, Reply.DONE, "1")


def run_before_those_ahead(history: History) -> None:
    history.stored.messages["5"] |= {"started_at": "2025-01-01T00:00:00Z", "completed_at": "2025-01-01T00:00:01Z"}


def heard_twice(history: History) -> None:
    forge_hearing(history, "a,a,b")


def not_heard(history: History) -> None:
    forge_hearing(history, "b")


def heard_in_another_order(history: History) -> None:
    forge_hearing(history, "b,a")


def heard_what_was_cancelled(history: History) -> None:
    recital = json.dumps([*MEMORY, ("human", "c"), ("human", RECITE)])
    history.stored.messages["5"]["result"] = recital
    set_log(history, "5", *attempt(1, recital), done(recital))


def forge_hearing(history: History, heard: str) -> None:
    plan, answer = PLAN_B.replace("a,b", heard), ANSWER_B.replace("a,b", heard)
    history.stored.messages["2"]["result"] = answer
    set_log(history, "2", *attempt(1, plan, answer), done(answer))
    history.stored.memories["t"][4:6] = [("ai", plan), ("ai", answer)]
    history.seen.readings.clear()


def completed_after_a_cancel(history: History) -> None:
    history.seen.cancels.append(Cancel("1", Reply.DONE))


def slowly_recovered(history: History) -> None:
    history.recovery_limit = 0.9


FORGERIES: dict[str, list[Callable[[History], None]]] = {
    "I1": [missing, unfinished, another_thread, a_surprise],
    "I2": [never_sent, stored_twice, refused_but_stored, too_many, cancelled_by_nobody],
    "I3": [two_ends, another_state, another_result, an_end_taken_back, failed_without_losses],
    "I4": [
        attempt_within_attempt, chunk_of_another, chunk_after_retry, discards_too_little, ended_outside_an_attempt,
        result_of_another_attempt, a_token_twice, tokens_of_two_runs, a_memory_of_another_attempt,
        a_recital_of_another_attempt,
    ],
    "I5": [a_gap_in_the_log, a_gap_for_a_reader, twice_the_same, other_bytes],
    "I6": [two_at_a_time, one_inside_another],
    "I7": [behind_a_later_one, run_before_those_ahead, heard_twice, not_heard, heard_in_another_order,
           heard_what_was_cancelled],
    "I8": [completed_after_a_cancel],
    "I12": [slowly_recovered],
}  # fmt: skip


def test_a_good_history_passes() -> None:
    assert check(good()) == []


@pytest.mark.parametrize(
    ("invariant", "forge"),
    [
        pytest.param(name, forge, id=f"{name}-{forge.__name__}")
        for name, forges in FORGERIES.items()
        for forge in forges
    ],
)
def test_a_forged_history_breaks_exactly_its_invariant(invariant: str, forge: Callable[[History], None]) -> None:
    history = good()
    forge(history)
    assert {violation.invariant for violation in check(history)} == {invariant}


def test_an_end_before_the_last_event_is_two_violations() -> None:
    history = good()
    an_end_before_the_last(history)
    assert {violation.invariant for violation in check(history)} >= {"I3"}


def test_the_recovery_is_counted_from_the_kill_of_the_process_that_was_cut_off() -> None:
    assert recoveries(good()) == [("2", 1767225602.0, 1767225603.0)]


def test_a_recovery_does_not_count_the_time_in_which_something_stood_still() -> None:
    history = good()
    history.recovery_limit = 0.5
    history.seen.pauses = [(1767225602.5, 1767225609.0), (1767225602.4, 1767225602.6), (0.0, 1767225602.1)]
    assert check(history) == []
    del history.seen.pauses[0]
    assert [violation.invariant for violation in check(history)] == ["I12"]


def test_the_story_of_a_message_has_both_sides() -> None:
    text = story(good(), "2")
    assert "read behind 3: [4, 5, 6, 7, 8]" in text
    assert "'user_message': 'b'" in text
    assert text.endswith(f"7 {ANSWER_B} 8 ('done', {{'result': {ANSWER_B!r}}})")
