"""The lines of the log: without secrets, of bounded length, and none that a text from outside could forge."""

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn.config
from hypothesis import given
from hypothesis import strategies as st

from app.observability.logging import (
    LINE_FORMAT,
    MAX_LINE_LENGTH,
    MAX_READ,
    TIME_FORMAT,
    TRACEBACK,
    JsonFormatter,
    Redactor,
    configure_logging,
    logging_config,
)
from app.text import escaped
from tests import hostile

SECRET = "correct horse battery"
KEY = "sk-" + "k" * 48
FORGED = "2026-11-22 11:03:19 - app.worker - INFO - Worker stopped"
RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - \S+ - [A-Z]+ - ")
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]")

Log = Callable[..., str]


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Log:
    """Logs a record through our filter and formatter, and returns what was written."""

    def write(message: object, *arguments: object, name: str = "app.test", **options: Any) -> str:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        plain = logging.Formatter(LINE_FORMAT, TIME_FORMAT)
        handler.setFormatter(plain if request.param == "text" else JsonFormatter())
        handler.addFilter(Redactor([SECRET]))
        logger = logging.Logger(name)  # noqa: LOG001  one that nobody else knows
        logger.addHandler(handler)
        logger.warning(message, *arguments, **options)
        return stream.getvalue()

    return write


def records(written: str) -> list[str]:
    """The lines that look like records."""
    assert not CONTROLS.search(written)
    return [line for line in written.split("\n") if RECORD.match(line) or line.startswith("{")]


# One record, one line


@pytest.mark.parametrize(
    "end",
    ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[2K\x1b[1G", "\x9b2K", "\b" * 99],
)
def test_no_text_can_begin_a_line_or_drive_a_terminal(log: Log, end: str) -> None:
    text = f"first{end}{FORGED}"
    assert len(records(log("%s", text))) == 1
    assert len(records(log(text))) == 1
    assert len(records(log("x", name=f"app{end}{FORGED}".replace(" ", "_")))) == 1
    for error in (
        ValueError(text),
        KeyError(text),
        type(text, (Exception,), {})(),
        ExceptionGroup(text, [OSError(text)]),
    ):
        assert len(records(log("It broke", exc_info=error))) == 1
    assert len(records(log("It broke", extra={TRACEBACK: text}))) == 1
    assert len(records(log("It broke", stack_info=True))) == 1


@given(text=st.text())
def test_escaped_text_is_one_line_of_printable_text(text: str) -> None:
    shown = escaped(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()
    if text.isprintable():
        assert shown == text


def test_letters_of_other_scripts_and_signs_stay() -> None:
    text = "Grüße, 你好, שלום, 👩‍💻 → ½"
    assert escaped(text) == text


def test_text_of_others_that_changes_the_direction_of_writing_is_escaped() -> None:
    assert escaped("a\u202eb") == r"a\u202eb"


# Whatever is logged


NOT_FOR_LOGGING = {"everything raises", "the class cannot be asked for", "the class exits"}


@pytest.mark.parametrize("kind", sorted(hostile.KINDS.keys() - NOT_FOR_LOGGING))
def test_no_error_breaks_the_log_or_holds_it_up(log: Log, kind: str) -> None:
    """But for some that `logging` itself cannot take; where such come from, they are not handed to it."""
    error = hostile.KINDS[kind]()
    began = time.process_time()
    written = log("It broke: %s", error, exc_info=error) + log(error)
    assert time.process_time() - began < 2
    assert len(records(written)) == 2
    assert len(written) < 4 * MAX_LINE_LENGTH


def test_arguments_that_do_not_fit_are_no_error(log: Log) -> None:
    assert "It broke: %s %s (logged with arguments that do not fit)" in log("It broke: %s %s", 1)


def test_an_error_that_is_not_there_leaves_no_line(log: Log) -> None:
    assert log("It broke", exc_info=True).count("\n") == 1


def test_a_record_that_two_handlers_write_is_written_alike_by_both() -> None:
    streams = [io.StringIO(), io.StringIO()]
    logger = logging.Logger("app.test")  # noqa: LOG001  one that nobody else knows
    for stream in streams:
        handler = logging.StreamHandler(stream)
        handler.addFilter(Redactor())
        logger.addHandler(handler)
    logger.warning("It broke", exc_info=ValueError("a\nb"))
    assert streams[0].getvalue() == streams[1].getvalue() == "It broke\n  ValueError: a\\nb\n"


# Secrets


@given(before=st.integers(0, MAX_READ + 200), kind=st.sampled_from([SECRET, KEY, f"Bearer {KEY}", f"//me:{KEY}@host"]))
def test_no_cut_shows_a_part_of_a_secret(before: int, kind: str) -> None:
    shown = Redactor([SECRET]).shown("x " * (before // 2) + " " + kind + " and more" * 3_000, MAX_READ)
    assert "horse" not in shown
    assert "kkkk" not in shown
    assert len(shown) <= MAX_READ


@pytest.mark.parametrize("limit", [10, 100, 2_000])
def test_secrets_are_replaced_before_the_text_is_cut(limit: int) -> None:
    for before in range(limit):
        shown = Redactor([SECRET]).shown("." * before + SECRET + "." * limit, limit)
        assert "corr" not in shown
        assert len(shown) <= limit


def test_many_secrets_do_not_bring_one_that_was_cut_into_what_is_shown() -> None:
    """Masks are shorter than what they stand for, so the end of what was read may be shown."""
    for shift in range(len(SECRET)):
        shown = Redactor([SECRET]).shown("." * shift + (SECRET + " ") * 10_000)
        assert not re.search("corr|horse|batt", shown)


def test_a_text_of_one_word_is_cut_where_no_secret_can_be() -> None:
    shown = Redactor().shown("x" * 50_000_000)
    assert shown == "x" * 1_999 + "…"


def test_secrets_are_masked_wherever_they_are(log: Log) -> None:
    def broken() -> None:
        raise ValueError(f"the key is {KEY}")

    try:
        broken()
    except ValueError as error:
        written = log(f"%s {SECRET}", KEY, exc_info=error, stack_info=True) + log("x", extra={TRACEBACK: KEY})
    assert "***" in written
    assert SECRET not in written
    assert KEY not in written


# Handlers of others


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the handlers, their filters and the levels of all loggers back; pytest's own handlers outlive a test."""
    names = [None, *logging.root.manager.loggerDict]
    before = {
        name: ({handler: list(handler.filters) for handler in logger.handlers}, logger.level, logger.propagate)
        for name in names
        for logger in [logging.getLogger(name)]
    }
    yield
    for name in [None, *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        handlers, level, propagate = before.get(name, ({}, logging.NOTSET, True))
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        for handler, filters in handlers.items():
            handler.filters[:] = filters
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.mark.usefixtures("restored")
def test_every_handler_of_a_users_file_writes_without_secrets_and_controls(tmp_path: Path) -> None:
    config = logging_config("INFO", "text")
    config["handlers"]["file"] = {
        "class": "logging.FileHandler",
        "filename": str(tmp_path / "log"),
        "formatter": "text",
    }
    config["loggers"] = {
        name: {"handlers": ["file"], "level": "INFO", "propagate": False} for name in ("uvicorn", "own")
    }
    file = tmp_path / "logging.json"
    file.write_text(json.dumps(config))
    configure_logging("INFO", "text", file, Redactor([SECRET]))
    for name in ("uvicorn.error", "own"):
        logging.getLogger(name).warning("%s", f"{SECRET}\n{FORGED}")
    written = (tmp_path / "log").read_text()
    assert len(records(written)) == 2
    assert SECRET not in written


@pytest.mark.usefixtures("restored")
def test_uvicorns_own_formatter_of_requests_still_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "logging.json"
    file.write_text(json.dumps(uvicorn.config.LOGGING_CONFIG))
    configure_logging("INFO", "text", file, Redactor([SECRET]))
    access = logging.getLogger("uvicorn.access")
    access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/{SECRET}?\n{FORGED}", "1.1", 200)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert '"GET /***?\\n' in out
    assert "200 OK" in out


@pytest.mark.usefixtures("restored")
def test_the_lines_of_uvicorn_pass_our_handler_after_it_has_set_up_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """`uvicorn app.main:app` sets its logging up before it imports the application."""
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    configure_logging("INFO", "text", None, Redactor([SECRET]))
    logging.getLogger("uvicorn.error").warning(SECRET)
    out = capsys.readouterr().out
    assert out.endswith("uvicorn.error - WARNING - ***\n")
