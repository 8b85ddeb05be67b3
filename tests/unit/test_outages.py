"""The log lines about an engine that is away."""

import logging

import pytest

from app.observability import outages
from app.observability.outages import Outage

END = "It works again"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> "pytest.LogCaptureFixture":
    caplog.set_level(logging.INFO, outages.__name__)
    return caplog


def told(lines: pytest.LogCaptureFixture) -> list[str]:
    return [message.partition(":")[0] for message in lines.messages]


def test_an_outage_of_many_loops_is_told_once_and_its_end_when_all_work(lines: pytest.LogCaptureFixture) -> None:
    outage = Outage(END)
    outage.works("claim")
    for _ in range(3):
        for loop in ("claim", "heartbeat"):
            outage.fails(loop, "%s failed: %s", loop, "away")
    outage.works("claim")
    assert lines.messages == ["claim failed: away"]
    outage.works("heartbeat")
    outage.works("heartbeat")
    assert told(lines) == ["claim failed", END]


def test_an_engine_that_comes_and_goes_is_told_as_rarely(lines: pytest.LogCaptureFixture) -> None:
    outage = Outage(END)
    for _ in range(10):
        outage.fails("claim", "failed")
        outage.log("a probe failed")
        outage.works("claim")
    assert told(lines) == ["failed", END]


def test_an_outage_that_goes_on_is_told_again(lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "LOG_INTERVAL_SECONDS", 0.0)
    outage = Outage(END)
    outage.fails("claim", "failed")
    outage.fails("claim", "failed")
    outage.works("claim")
    assert told(lines) == ["failed", "failed", END]


def test_an_outage_that_no_loop_has_noticed_ends_with_the_next_turn_of_one(
    lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(END)
    outage.log("a probe failed")
    outage.works("claim")
    assert told(lines) == ["a probe failed"]
    monkeypatch.setattr(outages, "SETTLE_SECONDS", 0.0)
    outage.works("claim")
    outage.works("claim")
    assert told(lines) == ["a probe failed", END]
