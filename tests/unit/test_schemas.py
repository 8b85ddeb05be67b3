"""Replies that are written without their models."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.api.schemas.messages import MessageAccepted
from app.models.messages import Message, MessageOptions, MessageState, Priority
from app.policy.wait_estimate import NOTHING, WaitEstimate, WaitingCode, WaitingReason
from app.text import rfc3339

BOUNDS = datetime(1970, 1, 1), datetime(9999, 1, 1)  # noqa: DTZ001  Hypothesis wants them without a zone
moments = st.datetimes(*BOUNDS, timezones=st.just(UTC))
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
reasons = st.builds(WaitingReason, st.sampled_from(WaitingCode), texts)
wait_estimates = st.one_of(st.just(NOTHING), st.builds(WaitEstimate, st.none() | moments, st.none() | reasons))
messages = st.builds(
    Message,
    number=st.just(1),
    id=st.uuids().map(str),
    tenant=st.just("default"),
    thread_id=st.none() | texts,
    thread_number=st.just(0),
    agent=texts,
    content=st.just("Hello"),
    priority=st.sampled_from(Priority),
    state=st.sampled_from(MessageState),
    created_at=moments,
    **dict.fromkeys(("started_at", "completed_at", "result", "error", "error_code"), st.none()),
    attempt=st.just(0),
    fence=st.just(0),
    options=st.just(MessageOptions()),
    run_at=st.none() | moments,
    queue_position=st.none() | st.integers(0, 10**9),
    receivers=st.just(()),
)


@given(message=messages, wait_estimate=wait_estimates)
def test_what_is_accepted_is_told_as_its_model_tells_it(message: Message, wait_estimate: WaitEstimate) -> None:
    assert (
        MessageAccepted.json_of(message, wait_estimate)
        == MessageAccepted.of(message, wait_estimate).model_dump_json().encode()
    )


@given(moment=moments)
def test_a_time_is_told_in_utc_with_milliseconds(moment: datetime) -> None:
    told = rfc3339(moment)
    assert told[-1] == "Z"
    assert datetime.fromisoformat(told) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
