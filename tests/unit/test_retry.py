"""Errors are tried again or not, after a time, and are of one kind or of several."""

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_openai.chat_models.base import OpenAIContextOverflowError
from langgraph.errors import GraphRecursionError, NodeTimeoutError

from app.policy.retry import MAX_RETRY_AFTER_SECONDS, Backoff, Verdict, fingerprint, judge
from app.policy.tracebacks import node_of

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
REQUEST = httpx2.Request("POST", "http://model.example/v1/chat/completions")

seconds = st.floats(0, 10**9)
attempts = st.integers(1, 10_000)
words = st.text(st.sampled_from("ghijklmnopqrstuvwxyz"), min_size=1, max_size=8)


def longest(_: float, end: float) -> float:
    """The most random of all numbers."""
    return end


def status(code: int, text: str = "No.", body: object = None, **headers: str) -> openai.APIStatusError:
    """Return the error that a provider's client raises for an HTTP status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return openai.APIStatusError(text, response=httpx2.Response(code, headers=named, request=REQUEST), body=body)


def raised(error: BaseException, cause: BaseException | None = None, during: BaseException | None = None) -> Any:
    """The error with what led to it."""
    error.__context__ = during
    if cause is not None:
        error.__cause__ = cause
    return error


# Pauses


@given(base=seconds, most=seconds, attempt=attempts, seed=st.integers())
def test_a_pause_is_between_nothing_and_the_limit(base: float, most: float, attempt: int, seed: int) -> None:
    pause = Backoff(base, most, random.Random(seed).uniform).pause_after(attempt)
    assert 0 <= pause <= most
    assert pause <= base * 2.0 ** min(attempt - 1, 900)


@given(base=seconds, most=seconds, attempt=attempts)
def test_the_limit_never_falls(base: float, most: float, attempt: int) -> None:
    backoff = Backoff(base, most, longest)
    assert backoff.limit_after(attempt) <= backoff.limit_after(attempt + 1) <= most


def test_the_limit_doubles_up_to_the_largest() -> None:
    assert [Backoff(2, 300, longest).pause_after(attempt) for attempt in range(1, 10)] == [
        2, 4, 8, 16, 32, 64, 128, 256, 300,
    ]  # fmt: skip


def test_pauses_are_spread_over_all_of_the_time() -> None:
    """Messages that failed together do not come again together."""
    backoff = Backoff(2, 300, random.Random(7).uniform)
    pauses = [backoff.pause_after(3) for _ in range(1000)]
    assert min(pauses) < 0.1
    assert max(pauses) > 7.9
    assert 3.7 < sum(pauses) / len(pauses) < 4.3


# Errors


@pytest.mark.parametrize(
    ("code", "permanent", "name"),
    [
        (400, True, "provider_refused"),
        (401, True, "provider_refused"),
        (403, True, "provider_refused"),
        (404, True, "provider_refused"),
        (408, False, "timeout"),
        (409, False, "provider_unavailable"),
        (422, True, "provider_refused"),
        (425, False, "provider_unavailable"),
        (429, False, "rate_limited"),
        (500, False, "provider_unavailable"),
        (502, False, "provider_unavailable"),
        (503, False, "provider_unavailable"),
        (504, False, "provider_unavailable"),
        (529, False, "provider_unavailable"),
    ],
)
def test_a_status_decides(code: int, permanent: bool, name: str) -> None:
    assert judge(status(code), NOW) == Verdict(permanent, name)
    assert judge(httpx2.HTTPStatusError("No.", request=REQUEST, response=httpx2.Response(code)), NOW).code == name


@pytest.mark.parametrize(
    "error",
    [
        openai.APIConnectionError(request=REQUEST),
        httpx2.ConnectError("All connection attempts failed"),
        httpx2.ReadError(""),
        httpx2.RemoteProtocolError("peer closed connection without sending complete message body"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
    ids=repr,
)
def test_connections_that_cannot_be_made_or_break_are_tried_again(error: Exception) -> None:
    assert judge(error, NOW) == Verdict(permanent=False, code="provider_unavailable")


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        openai.APITimeoutError(request=REQUEST),
        httpx2.ReadTimeout("The read operation timed out"),
        NodeTimeoutError("model", 3.0, kind="run", run_timeout=3.0),
    ],
    ids=repr,
)
def test_time_limits_are_tried_again(error: Exception) -> None:
    assert judge(error, NOW) == Verdict(permanent=False, code="timeout")


@pytest.mark.parametrize(
    "error",
    [
        status(400, body={"code": "context_length_exceeded", "message": "Too long."}),
        status(400, "This model's maximum context length is 8192 tokens."),
        status(413, "prompt is too long: 210000 tokens > 200000 maximum"),
        OpenAIContextOverflowError("No.", response=httpx2.Response(400, request=REQUEST), body=None),
        openai.APIError("Too long.", REQUEST, body={"code": "context_length_exceeded"}),
    ],
    ids=repr,
)
def test_more_than_the_model_can_read_is_permanent(error: Exception) -> None:
    assert judge(error, NOW) == Verdict(permanent=True, code="context_too_long")


def test_text_of_others_about_contexts_decides_nothing() -> None:
    assert not judge(ValueError("maximum context length"), NOW).permanent


def test_a_graph_that_goes_round_for_ever_is_permanent() -> None:
    assert judge(GraphRecursionError("25 steps"), NOW) == Verdict(permanent=True, code="recursion_limit")
    assert judge(RecursionError("maximum depth"), NOW) == Verdict(permanent=False, code="agent_error")


@pytest.mark.parametrize("error", [ValueError("No."), KeyError("x"), RuntimeError(), OSError(28, "No space left")])
def test_other_errors_are_tried_again(error: Exception) -> None:
    assert judge(error, NOW) == Verdict(permanent=False, code="agent_error")


def test_what_led_to_an_error_is_looked_through() -> None:
    assert judge(raised(ValueError(), cause=status(401)), NOW).permanent
    assert judge(raised(ValueError(), during=status(401)), NOW).permanent
    assert judge(raised(ValueError(), cause=raised(KeyError("x"), during=status(401))), NOW).permanent


def test_the_outermost_error_that_tells_something_decides() -> None:
    """A second provider's failure counts, not that of the first, in whose place it was asked."""
    assert judge(raised(status(503), during=status(401)), NOW).code == "provider_unavailable"


def test_what_an_error_is_raised_in_place_of_does_not_count() -> None:
    error = raised(ValueError(), during=status(401))
    error.__suppress_context__ = True  # as `from None` does
    assert not judge(error, NOW).permanent


def test_one_permanent_error_of_a_group_is_enough() -> None:
    group = ExceptionGroup("two nodes", [ValueError(), ExceptionGroup("", [status(503), status(401)])])
    assert judge(group, NOW) == Verdict(permanent=True, code="provider_refused")
    assert judge(ExceptionGroup("two nodes", [ValueError(), status(503)]), NOW).code == "provider_unavailable"


def test_a_ring_of_errors_has_an_end() -> None:
    one, other = ValueError(), KeyError("x")
    one.__cause__, other.__cause__ = other, one
    assert judge(one, NOW).code == "agent_error"


# Retry-After


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("told", "pause"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("3600", 3600.0),
        ("86400", MAX_RETRY_AFTER_SECONDS),
        ("9" * 400, MAX_RETRY_AFTER_SECONDS),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=90), usegmt=True), MAX_RETRY_AFTER_SECONDS),
        ("Wed, 02 Jan 2030 03:04:15 -0000", 10.0),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_pause_that_a_server_asks_for(code: int, told: str, pause: float | None) -> None:
    assert judge(status(code, Retry_After=told), NOW).pause == pause


def test_only_a_status_that_says_later_asks_for_a_pause() -> None:
    assert judge(status(500, Retry_After="7"), NOW).pause is None
    assert judge(raised(ValueError(), cause=status(429, Retry_After="7")), NOW).pause == 7


@given(told=st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_no_header_breaks_the_judgement(told: str) -> None:
    pause = judge(status(429, Retry_After=told), NOW).pause
    assert pause is None or 0 <= pause <= MAX_RETRY_AFTER_SECONDS


# Kinds


@given(text=st.lists(words, min_size=1).map(" ".join), numbers=st.lists(st.integers(0), min_size=2, max_size=2))
def test_numbers_make_no_other_kind(text: str, numbers: Sequence[int]) -> None:
    one, other = (fingerprint("ValueError", "model", f"{text} {number} of {number}") for number in numbers)
    assert one == other


@given(ids=st.lists(st.uuids(), min_size=2, max_size=2), quotes=st.sampled_from(["'", '"', "`"]), values=words)
def test_ids_and_quoted_values_make_no_other_kind(ids: Sequence[uuid.UUID], quotes: str, values: str) -> None:
    first = f"No row {ids[0]} (req_{ids[0].hex}) for {quotes}{values}{quotes} at 0x{ids[0].hex[:8]}"
    second = f"No row {ids[1]} (req_{ids[1].hex})\nfor {quotes}other{quotes} at 0x{ids[1].hex[:8]}"
    assert fingerprint("KeyError", None, first) == fingerprint("KeyError", None, second)


@given(kinds=st.lists(st.tuples(words, st.none() | words, words), min_size=2, max_size=2, unique=True))
def test_class_node_and_text_make_another_kind(kinds: Sequence[tuple[str, str | None, str]]) -> None:
    one, other = (fingerprint(*kind) for kind in kinds)
    assert one != other


def test_apostrophes_are_no_quotes() -> None:
    assert fingerprint("E", None, "can't read what isn't there") != fingerprint(
        "E", None, "can't write what isn't there"
    )


@given(text=st.text())
def test_any_text_has_a_kind(text: str) -> None:
    assert len(fingerprint("E", None, text)) == 16


def test_the_node_is_the_one_that_langgraph_notes_first() -> None:
    error = ValueError()
    error.add_note("of somebody else")
    error.add_note("During task with name 'inner' and id '0b1c'")
    error.add_note("During task with name 'outer' and id '9f8e'")
    assert node_of(error) == "inner"
    assert node_of(raised(KeyError("x"), cause=error)) == "inner"
    assert node_of(ValueError()) is None
