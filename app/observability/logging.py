"""Formats the process's log lines and keeps secrets out of them."""

import json
import logging
import logging.config
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..policy.tracebacks import traceback_of
from ..text import escaped

OUR_PACKAGE = __name__.partition(".")[0]
LINE_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
MASK = "***"

_SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9_\-*]{4,}|aq[a-z]?_[A-Za-z0-9_.\-]{8,}|whsec_[A-Za-z0-9+/=]{8,}|Bearer\s+[A-Za-z0-9._~+/=\-]{8,})|(?<=//)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=password=)[^\s&;,'\"]+|(?<=passwd=)[^\s&;,'\"]+|(?<=secret=)[^\s&;,'\"]+|(?<=api_key=)[^\s&;,'\"]+",
    re.IGNORECASE,
)


MAX_READ = 20_000
"""Maximum characters of a text that are searched for secrets. The rest of the text is never shown."""

MAX_SECRET_LENGTH = 4_096
"""Maximum characters dropped after the last blank of a cut text, since they may be the beginning of a secret."""

MAX_ERROR_LENGTH = 2_000
MAX_LINE_LENGTH = 16_000
ACCESS_LOGGER = "uvicorn.access"
"""Records of this logger keep their arguments, since uvicorn's formatter reads them."""

TRACEBACK = "traceback"
"""The attribute of a record (`extra=`) that has a traceback as text."""

TRACE_IDS = ("trace_id", "span_id")
"""Attributes of a record that was logged inside a span. They are set only if traces are on."""


class Redactor(logging.Filter):
    """Masks configured secrets, and text that looks like a key, in log lines and in texts for callers.

    As a filter of a handler it also keeps each record on one line and indents tracebacks. Text from outside therefore
    cannot imitate a record or control a terminal.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= 4]

    def redact(self, text: str) -> str:
        """Return the text with its secrets masked."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _SECRET.sub(MASK, text)

    def shown(self, text: str, limit: int = MAX_ERROR_LENGTH) -> str:
        """Return at most `limit` characters of the text, with its secrets masked. `…` marks a cut.

        Secrets are masked in a longer text than is shown. Therefore no part of a secret remains at the cut.
        """
        read = text if len(text) <= MAX_READ else self._without_partial_secret(text[:MAX_READ])
        redacted = self.redact(read)
        if len(redacted) <= limit and read is text:
            return redacted
        return redacted[: limit - 1] + "…"

    def _without_partial_secret(self, text: str) -> str:
        """Return a cut text. Leave out its end if that may be the beginning of a secret."""
        head, tail = text[:-MAX_SECRET_LENGTH], text[-MAX_SECRET_LENGTH:]
        words = tail.rsplit(maxsplit=1)
        text = head + (words[0] if len(words) > 1 else "")
        for secret in self._secrets:  # secrets that contain a blank
            begun = next((size for size in range(len(secret) - 1, 0, -1) if text.endswith(secret[:size])), 0)
            text = text[: len(text) - begun]
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Format the record once, so that its arguments and traceback are masked too. Always return True."""
        try:
            message = record.getMessage()
        except BaseException:  # noqa: BLE001  a wrong log call must not stop the caller
            message = f"{record.msg if isinstance(record.msg, str) else ''} (logged with arguments that do not fit)"
        if record.name == ACCESS_LOGGER and isinstance(record.args, tuple):
            record.args = tuple(self._line(each) if isinstance(each, str) else each for each in record.args)
        else:
            record.msg, record.args = self._line(message), None
        for attribute in ("name", "threadName", "taskName", "processName"):
            if isinstance(value := getattr(record, attribute, None), str):
                setattr(record, attribute, escaped(value))
        if record.exc_info:
            error = record.exc_info[1]
            record.exc_text = None if error is None else indented(traceback_of(error, self.shown, every_frame=True))
            record.exc_info = None
        elif isinstance(text := record.__dict__.pop(TRACEBACK, None), str):
            record.exc_text = indented(self.shown(text, MAX_LINE_LENGTH))
        if record.stack_info:
            record.stack_info = indented(self.shown(record.stack_info, MAX_LINE_LENGTH))
        return True

    def _line(self, text: str) -> str:
        return escaped(self.shown(text.rstrip(), MAX_LINE_LENGTH))


def indented(text: str) -> str:
    """Return a traceback with each line escaped and indented, so that only records begin at the margin."""
    return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))


class TextFormatter(logging.Formatter):
    """Formats each record as one line. A record that was logged inside a span ends with the ids of the span."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the interface of `logging`
        """Return the line without the exception."""
        line = super().formatMessage(record)
        trace_id, span_id = getattr(record, "trace_id", None), getattr(record, "span_id", None)
        return line if trace_id is None else f"{line} trace_id={trace_id} span_id={span_id}"


class JsonFormatter(logging.Formatter):
    """Formats each record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time (RFC 3339, UTC), logger, level and message.

        Add the exception if there is one, and the ids of the trace and the span inside which the record was logged.
        """
        fields: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
        }
        fields.update((name, record.__dict__[name]) for name in TRACE_IDS if name in record.__dict__)
        if record.exc_text:
            fields["exception"] = record.exc_text
        return json.dumps(fields)


def logging_config(level: str, format: str) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`. `config/logging.json` is an example of it.

    `level` applies to the loggers of this program and of uvicorn. `format` is `text` or `json`.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"class": f"{__name__}.TextFormatter", "format": LINE_FORMAT, "datefmt": TIME_FORMAT},
            "json": {"()": f"{__name__}.JsonFormatter"},
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": format}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            OUR_PACKAGE: {"level": level},
            "psycopg": {"level": "ERROR"},  # it logs each connection attempt; we log the outage once
            "uvicorn": {"level": level, "propagate": True},
            "uvicorn.access": {"level": "INFO" if level == "DEBUG" else "WARNING", "propagate": True},
        },
    }


def configure_logging(level: str, format: str, file: Path | None, redactor: Redactor) -> None:
    """Configure logging from `file` (JSON for dictConfig), or from `level` and `format` if `file` is None.

    Adds the redactor to every handler. Raises ConfigurationError.
    """
    try:
        config = logging_config(level, format) if file is None else json.loads(file.read_text("utf-8"))
        logging.config.dictConfig(config)
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(
            f"LOG_CONFIG: expected a JSON file for logging.config.dictConfig, got {str(file)!r} ({error})"
        ) from error
    add_filter(redactor)


def add_filter(filter: logging.Filter) -> None:
    """Add a filter to every handler."""
    for handler in _handlers():
        handler.addFilter(filter)


def remove_filter(filter: logging.Filter) -> None:
    """Remove a filter from every handler."""
    for handler in _handlers():
        handler.removeFilter(filter)


def _handlers() -> Iterator[logging.Handler]:
    known = (each for each in list(logging.root.manager.loggerDict.values()) if isinstance(each, logging.Logger))
    for logger in (logging.getLogger(), *known):
        yield from logger.handlers
