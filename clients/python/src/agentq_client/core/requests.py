"""A call as data, and the decision after each try: return the reply, raise, or wait and try again."""

from __future__ import annotations

import json
import os
import random
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from ..errors import ConfigurationError, ServerUnreachable
from .deadline import Deadline
from .replies import Reply, refusal

T = TypeVar("T")

DEFAULT_URL = "http://localhost:8000"
USER_AGENT = "agentq-client-python"
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 8.0
LONGEST_WAIT_SECONDS = 60.0
"""A server that asks to wait longer is reported to the caller at once."""

NOT_CARRIED_OUT = frozenset((429, 503))
"""Statuses by which the server says that it has stored nothing."""

MAYBE_CARRIED_OUT = frozenset((408, 500, 502, 504))


WRONG_KEY = "invalid_api_key"
"""The server's code for a wrong API key. A key that cannot be sent has it too."""

MAX_TIMEOUT_SECONDS = 366 * 86_400
"""Sockets refuse a time that is much longer."""


@dataclass(frozen=True)
class Config:
    """The settings that all calls of a client share. Times are in seconds; `timeout` is that of one try."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout: float
    max_retries: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.base_url):
            raise ConfigurationError(
                f"The address {shown(self.base_url)!r} cannot be used.", cure="Give one such as http://localhost:8000."
            )
        if not (0 < self.timeout <= MAX_TIMEOUT_SECONDS and self.max_retries >= 0):
            raise ConfigurationError(
                f"`timeout` has to be positive and at most {MAX_TIMEOUT_SECONDS} seconds, and `max_retries` 0 or more."
            )
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ConfigurationError(
                "The API key has characters that no key has.", code=WRONG_KEY, cure="Copy it again, in one line."
            )


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and how its reply is read.

    `repeatable` says that a second arrival changes nothing more. `query` may have None for what is not given.
    """

    method: str
    path: str
    read: Callable[[Reply], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    keyed: bool = True
    next_page: Callable[[Call[Any], Any], Call[Any] | None] | None = None

    def target(self) -> str:
        """Return path and query."""
        pairs: list[tuple[str, str]] = []
        for name, value in self.query.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            pairs += [(name, _query_text(each)) for each in values if each is not None]
        try:
            return f"{self.path}?{urlencode(pairs)}" if pairs else self.path
        except UnicodeEncodeError as error:
            raise ConfigurationError(f"The query cannot be sent: {error}.") from error


@dataclass(frozen=True)
class Request:
    """The request of one try."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None


@dataclass(frozen=True)
class Failure:
    """A try without a reply. `maybe_sent` says whether the request may have arrived."""

    what: str
    maybe_sent: bool
    cause: BaseException


_USER = re.compile(r"^([^/?#]*//)[^/?#]*@")


def segment(text: str) -> str:
    """Return one segment of a path. Raises ConfigurationError for a text that would name another route."""
    if text in ("", ".", ".."):
        raise ConfigurationError(f"{text!r} cannot be an id.", cure="Give the id that the server has returned.")
    try:
        return quote(text, safe="")
    except (TypeError, UnicodeEncodeError) as error:
        raise ConfigurationError(f"{text!r} cannot be an id: {error}.") from error


def shown(address: str) -> str:
    """Return an address for texts of errors, without the name and password of a user."""
    return _USER.sub(r"\1", address, count=1)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_whole = not parts.query and not parts.fragment  # a path is appended
        return parts.scheme in ("http", "https") and bool(parts.hostname) and is_whole
    except ValueError:
        return False


def _query_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_request(call: Call[Any], config: Config) -> Request:
    """Return what to send. A POST has an `Idempotency-Key`, which all tries of the request share."""
    headers = {"accept": "application/json", "user-agent": USER_AGENT}
    headers |= _lowered(config.headers)
    if config.api_key is not None:
        headers["authorization"] = f"Bearer {config.api_key}"
    content = None
    if call.body is not None:
        try:
            content = json.dumps(call.body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"The request cannot be sent as JSON: {error}.") from error
        headers["content-type"] = "application/json"
    if call.method == "POST" and call.keyed:
        headers["idempotency-key"] = str(uuid.uuid4())
    headers |= _lowered(call.headers)
    return Request(call.method, config.base_url.rstrip("/") + call.target(), headers, content)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by their names in lower case. Raises ConfigurationError for what is no text."""
    for pair in headers.items():
        if not all(isinstance(each, str) for each in pair):
            raise ConfigurationError(f"The header {pair[0]!r} is no text.", cure="Give texts, or leave the header out.")
    return {name.lower(): value for name, value in headers.items()}


class Tries:
    """Counts the tries of one request and decides what follows each. None follows after the deadline."""

    def __init__(self, call: Call[Any], config: Config, deadline: Deadline | None = None) -> None:
        self._call = call
        self._config = config
        self._deadline = deadline or Deadline()
        self._left = config.max_retries
        self._pause = FIRST_PAUSE_SECONDS

    @property
    def seconds(self) -> float:
        """Return the time of the next try in seconds."""
        return self._deadline.limit(self._config.timeout)

    def judge(self, outcome: Reply | Failure) -> Reply | float:
        """Return a success, or the seconds to wait before the next try. Raises the error that is to be reported."""
        if isinstance(outcome, Failure):
            if self._call.repeatable or not outcome.maybe_sent:
                pause = self._next_pause(None)
                if pause is not None:
                    return pause
            raise self._unreachable(outcome) from outcome.cause
        if 200 <= outcome.status < 300:
            return outcome
        if self._may_repeat(outcome):
            pause = self._next_pause(outcome.retry_after)
            if pause is not None:
                return pause
        raise refusal(outcome, self._call.method, self._call.path)

    def _may_repeat(self, reply: Reply) -> bool:
        if (reply.retry_after or 0) > LONGEST_WAIT_SECONDS:
            return False
        return reply.status in NOT_CARRIED_OUT or (reply.status in MAYBE_CARRIED_OUT and self._call.repeatable)

    def _next_pause(self, asked: float | None) -> float | None:
        """Return the seconds until the next try. None if there is none, or no time for one."""
        pause = max(self._pause * random.uniform(0.5, 1.0), asked or 0.0)  # noqa: S311  spreads load, guards no secret
        if not self._left or self._deadline.limit(pause) < pause:
            return None
        self._left -= 1
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        return pause

    def _unreachable(self, failure: Failure) -> ServerUnreachable:
        asked = f"{self._call.method} {shown(self._config.base_url)}{self._call.path}"
        what = f"{asked} got no reply: {failure.what.rstrip('.')}."
        if failure.maybe_sent and not self._call.repeatable:
            cure = "It may have been carried out: read the present state before you call again."
            return ServerUnreachable(what, maybe_done=True, cure=cure)
        return ServerUnreachable(what, maybe_done=failure.maybe_sent)


def config_of(
    base_url: str | None, api_key: str | None, timeout: float, max_retries: int, headers: Mapping[str, str] | None
) -> Config:
    """Return the configuration of a client. What is not given comes from AGENTQ_URL and AGENTQ_API_KEY."""
    return Config(
        base_url=(base_url or os.environ.get("AGENTQ_URL") or DEFAULT_URL).strip(),
        api_key=(api_key or os.environ.get("AGENTQ_API_KEY") or "").strip() or None,
        timeout=timeout,
        max_retries=max_retries,
        headers=dict(headers or {}),
    )
