"""What becomes of an attempt that failed: which errors are worth another try, when it is, and which are of one kind.

Errors are judged by what they look like, not by whose they are: a status, headers, a name. So no library is imported.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A server may ask for a longer pause, and is asked again after so many seconds all the same."""

MAX_DOUBLINGS = 64
MAX_CHAIN = 100

AGENT_ERROR = "agent_error"
TIMEOUT = "timeout"
RATE_LIMITED = "rate_limited"
PROVIDER_UNAVAILABLE = "provider_unavailable"
PROVIDER_REFUSED = "provider_refused"
CONTEXT_TOO_LONG = "context_too_long"
RECURSION_LIMIT = "recursion_limit"

PASSING_STATUSES = frozenset({408, 409, 425, 429})
"""Of those from 400 to 499, the ones that another try may not meet again."""

PAUSE_STATUSES = frozenset({429, 503})
"""Those that come with the time at which to ask again."""

CONTEXT_CODE = "context_length_exceeded"
CONTEXT_WORDS = re.compile(r"maximum context length|context[ _]length[ _]exceeded|prompt is too long", re.IGNORECASE)
TIMEOUT_NAME = re.compile(r"Time(d)?out")
CONNECTION_NAME = re.compile(r"Connect|ReadError|WriteError|ProtocolError|NetworkError|ChunkedEncoding|IncompleteRead")

NODE_NOTE = re.compile(r"During task with name '([^']*)'")
QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)(?!\w)""")
IDENTIFIER = re.compile(r"\b[\w-]*\d[\w-]*|\b[a-f]{8,}\b", re.IGNORECASE)
FINGERPRINT_LENGTH = 16


class Verdict(NamedTuple):
    """What an error means: whether another try is in vain, a stable code, the pause that the server asked for."""

    permanent: bool
    code: str
    pause: float | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts, with full jitter: all of a random time below a limit that doubles.

    `uniform` gives a random number between its two arguments.
    """

    base_seconds: float
    max_seconds: float
    uniform: Callable[[float, float], float]

    def pause_after(self, attempt: int) -> float:
        """Seconds to wait after this attempt, counted from 1."""
        return self.uniform(0.0, self.limit_after(attempt))

    def limit_after(self, attempt: int) -> float:
        """The longest pause that may follow this attempt."""
        return min(self.max_seconds, self.base_seconds * 2.0 ** min(attempt - 1, MAX_DOUBLINGS))


def judge(error: BaseException, now: datetime) -> Verdict:
    """What an error of an agent means.

    It and what led to it are looked through, the outermost first; the first that tells something decides. Of a group,
    one permanent error is enough. What tells nothing is an error of the agent's own code and worth another try, which
    goes on behind the last finished step.
    """
    for each in _chain(error):
        if isinstance(each, BaseExceptionGroup):
            verdicts = [judge(member, now) for member in each.exceptions]
            return max(
                verdicts, key=lambda verdict: (verdict.permanent, verdict.code != AGENT_ERROR, verdict.pause or 0)
            )
        if (verdict := _verdict(each, now)) is not None:
            return verdict
    return Verdict(permanent=False, code=AGENT_ERROR)


def node_of(error: BaseException) -> str | None:
    """The innermost node of a graph that the error came from, by the note that LangGraph leaves."""
    for each in _chain(error):
        for note in getattr(each, "__notes__", ()):
            if found := NODE_NOTE.match(note):
                return found[1]
    return None


def fingerprint(error_class: str, node: str | None, text: str) -> str:
    """Short and the same for errors of one kind: of one class, from one node, in one text but for ids and values."""
    normal = " ".join(IDENTIFIER.sub("#", QUOTED.sub("''", text)).split())
    kind = json.dumps([error_class, node, normal])
    return hashlib.sha256(kind.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(seen) < MAX_CHAIN:
        yield following
        seen.add(id(following))
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)


def _verdict(error: BaseException, now: datetime) -> Verdict | None:
    """What this one error tells by itself."""
    names = [base.__name__ for base in type(error).__mro__]
    if isinstance(error, RecursionError):
        return Verdict(permanent=True, code=RECURSION_LIMIT)
    if _is_context(error, names):
        return Verdict(permanent=True, code=CONTEXT_TOO_LONG)
    if (status := _status(error)) is not None:
        return _of_status(status, error, now)
    if isinstance(error, TimeoutError) or any(map(TIMEOUT_NAME.search, names)):
        return Verdict(permanent=False, code=TIMEOUT)
    if isinstance(error, ConnectionError) or any(map(CONNECTION_NAME.search, names)):
        return Verdict(permanent=False, code=PROVIDER_UNAVAILABLE)
    return None


def _is_context(error: BaseException, names: Iterable[str]) -> bool:
    """Whether a model was given more than it can read. Only what a provider says counts, or any text would do."""
    if getattr(error, "code", None) == CONTEXT_CODE or any("ContextOverflow" in name for name in names):
        return True
    return _status(error) in (400, 413) and CONTEXT_WORDS.search(str(error)) is not None


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error tells of."""
    for source in (error, getattr(error, "response", None)):
        status = getattr(source, "status_code", None)
        if isinstance(status, int) and 400 <= status <= 599:
            return status
    return None


def _of_status(status: int, error: BaseException, now: datetime) -> Verdict:
    pause = _retry_after(error, now) if status in PAUSE_STATUSES else None
    if status == 429:
        return Verdict(permanent=False, code=RATE_LIMITED, pause=pause)
    if status >= 500 or status in PASSING_STATUSES:
        return Verdict(permanent=False, code=TIMEOUT if status == 408 else PROVIDER_UNAVAILABLE, pause=pause)
    return Verdict(permanent=True, code=PROVIDER_REFUSED)


def _retry_after(error: BaseException, now: datetime) -> float | None:
    """The pause of the header Retry-After, which is in seconds or a date; None for none that can be read."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    try:
        found = {str(name).lower(): str(value) for name, value in headers.items()}  # type: ignore[union-attr]  # caught
        told = found["retry-after"].strip()
        seconds = float(told) if re.fullmatch(r"\d+(\.\d+)?", told) else _until(told, now)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _until(date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(date)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
