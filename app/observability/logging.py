"""Formats the process's log and keeps secrets out of it."""

import json
import logging
import logging.config
import re
import time
from collections.abc import Iterable
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
    r"\b(sk-[A-Za-z0-9_\-*]{4,}|aqs_[A-Za-z0-9_]{8,}|Bearer\s+[A-Za-z0-9._~+/=\-]{8,})|(?<=//)[^/\s:@]*:[^/\s@]+(?=@)"
    r"|(?<=password=)[^\s&;,'\"]+|(?<=passwd=)[^\s&;,'\"]+|(?<=secret=)[^\s&;,'\"]+|(?<=api_key=)[^\s&;,'\"]+",
    re.IGNORECASE,
)


MAX_READ = 20_000
"""Characters of a text that are searched for secrets; the rest is never shown."""

MAX_SECRET_LENGTH = 4_096
"""Behind its last blank so much of a text that was cut is left out, for it may be the beginning of a secret."""

MAX_ERROR_LENGTH = 2_000
MAX_LINE_LENGTH = 16_000
ACCESS_LOGGER = "uvicorn.access"
"""Uvicorn's formatter of these records reads their arguments, so they are kept."""

TRACEBACK = "traceback"
"""The attribute of a record (`extra=`) that has a traceback as text already."""


class Redactor(logging.Filter):
    """Replaces configured secrets, and text that looks like a key, in everything that is logged or shown.

    As a handler's filter it also keeps each record on one line and indents each line of a traceback. Text from outside
    then cannot look like a record or control a terminal.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= 4]

    def redact(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _SECRET.sub(MASK, text)

    def shown(self, text: str, limit: int = MAX_ERROR_LENGTH) -> str:
        """Return the beginning of a text of any length, without secrets, with `…` where it was cut.

        Secrets are replaced before the text is cut, in more text than is shown. The end therefore cannot be half a
        secret, which would not be recognized.
        """
        read = text if len(text) <= MAX_READ else self._without_half_a_secret(text[:MAX_READ])
        redacted = self.redact(read)
        if len(redacted) <= limit and read is text:
            return redacted
        return redacted[: limit - 1] + "…"

    def _without_half_a_secret(self, text: str) -> str:
        """Return a cut text without any end that may be the beginning of a secret."""
        head, tail = text[:-MAX_SECRET_LENGTH], text[-MAX_SECRET_LENGTH:]
        words = tail.rsplit(maxsplit=1)
        text = head + (words[0] if len(words) > 1 else "")
        for secret in self._secrets:  # secrets with a blank in them
            begun = next((size for size in range(len(secret) - 1, 0, -1) if text.endswith(secret[:size])), 0)
            text = text[: len(text) - begun]
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Format the record once, so that arguments and tracebacks are redacted as well."""
        try:
            message = record.getMessage()
        except BaseException:  # noqa: BLE001  a wrong log call, or text of others, must not fail what it tells of
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
    """Return the lines of a traceback, indented: only records begin at the margin."""
    return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Formats each record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time (RFC 3339, UTC), logger, level and message, and the exception if there is one."""
        fields: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if record.exc_text:
            fields["exception"] = record.exc_text
        return json.dumps(fields)


def logging_config(level: str, format: str) -> dict[str, Any]:
    """Return the process's `logging.config.dictConfig`; `config/logging.json` is the same as a file to start from."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": LINE_FORMAT, "datefmt": TIME_FORMAT},
            "json": {"()": f"{__name__}.JsonFormatter"},
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": format}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            OUR_PACKAGE: {"level": level},
            "psycopg": {"level": "ERROR"},  # it logs each try to connect, and we log the outage
            "uvicorn": {"level": level, "propagate": True},
            "uvicorn.access": {"level": "INFO" if level == "DEBUG" else "WARNING", "propagate": True},
        },
    }


def configure_logging(level: str, format: str, file: Path | None, redactor: Redactor) -> None:
    """Set up the process's logging from our configuration or the user's file (JSON, the schema of dictConfig).

    Raises ConfigurationError.
    """
    try:
        config = logging_config(level, format) if file is None else json.loads(file.read_text("utf-8"))
        logging.config.dictConfig(config)
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(
            f"LOG_CONFIG: expected a JSON file for logging.config.dictConfig, got {str(file)!r} ({error})"
        ) from error
    known = (each for each in list(logging.root.manager.loggerDict.values()) if isinstance(each, logging.Logger))
    for logger in (logging.getLogger(), *known):
        for handler in logger.handlers:
            handler.addFilter(redactor)
