"""W3C trace contexts: which headers are read, which are ignored, and what is kept with a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.traces import MAX_STATE_LENGTH, Trace, TraceContext, trace_id_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def test_a_traceparent_is_read() -> None:
    context = TraceContext.of(PARENT)
    assert context == TraceContext(PARENT)
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE, SPAN, True)
    unsampled = TraceContext.of(f"00-{TRACE}-{SPAN}-02")
    assert unsampled is not None
    assert not unsampled.sampled


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "-more",
        PARENT + " ",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        PARENT + "\n",
    ],
)
def test_a_malformed_traceparent_is_ignored(parent: str) -> None:
    assert TraceContext.of(parent) is None


@pytest.mark.parametrize("parent", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what.comes.later"])
def test_a_later_version_is_read_as_far_as_it_is_known(parent: str) -> None:
    assert TraceContext.of(parent) == TraceContext(PARENT)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a=1", "a=1"),
        ("a=1 , \tb@c=2,,", "a=1,b@c=2"),
        ("a = 1", ""),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a", ""),
        ("a=é", ""),
        ("a=1\n", ""),
        (",".join(f"k{i}=v" for i in range(32)), ",".join(f"k{i}=v" for i in range(32))),
        (",".join(f"k{i}=v" for i in range(33)), ""),
        (
            "a=" + "x" * 200 + ",b=" + "x" * 200 + ",c=" + "x" * 104,
            "a=" + "x" * 200 + ",b=" + "x" * 200 + ",c=" + "x" * 104,
        ),
        ("a=" + "x" * 200 + ",b=" + "x" * 200 + ",c=" + "x" * 105, ""),
    ],
)
def test_a_tracestate_is_kept_if_it_is_valid_and_short(state: str, kept: str) -> None:
    context = TraceContext.of(PARENT, state)
    assert context is not None
    assert context.state == kept
    assert len(context.state) <= MAX_STATE_LENGTH


@given(st.text(), st.text())
def test_no_header_is_an_error(parent: str, state: str) -> None:
    assert TraceContext.of(parent, state) is None
    assert TraceContext.of(PARENT, state) is not None


@pytest.mark.parametrize("state", ["", "a=1,b=2 3"])
@pytest.mark.parametrize("attempt", ["", f"00-{TRACE}-{'a' * 16}-01"])
@pytest.mark.parametrize("answer", ["", f"00-{'b' * 32}-{'c' * 16}-01"])
def test_a_trace_is_one_text(state: str, attempt: str, answer: str) -> None:
    trace = Trace(TraceContext(PARENT, state), attempt, answer)
    assert Trace.of(str(trace)) == trace
    assert trace_id_of(str(trace)) == TRACE
    assert trace.context.begun == str(Trace(trace.context))
    assert trace_id_of(None) is None
