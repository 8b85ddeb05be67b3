"""Logging as it leaves the process: the format of the lines, and no secrets in them."""

import json
import logging
import logging.config
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.errors import ConfigurationError

LINE_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
MASK = "***"

_SECRET = re.compile(
    r"\b(sk-[A-Za-z0-9_\-*]{4,}|aqs_[A-Za-z0-9_]{8,}|Bearer\s+[A-Za-z0-9._~+/=\-]{8,})|(?<=//)[^/\s:@]*:[^/\s@]+(?=@)"
)


class Redactor(logging.Filter):
    """Replaces what looks like a key, and the configured secrets, in everything that is logged or shown."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= 4]

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return _SECRET.sub(MASK, text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Formats the record here once, so that arguments and tracebacks are redacted as well."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  a wrong log call must not fail what it tells of
            message = f"{record.msg} (logged with arguments that do not fit)"
        record.msg, record.args = self.redact(message), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = self.redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (RFC 3339, UTC), logger, level, message, and the exception if there is one."""
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
    """The `logging.config.dictConfig` of the process; `config/logging.json` is the same as a file to start from."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": LINE_FORMAT, "datefmt": TIME_FORMAT},
            "json": {"()": "app.telemetry.JsonFormatter"},
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": format}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            "app": {"level": level},
            "uvicorn": {"level": level},
            "uvicorn.access": {"level": "INFO" if level == "DEBUG" else "WARNING"},
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
    for handler in logging.getLogger().handlers:
        handler.addFilter(redactor)
