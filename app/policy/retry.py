"""Decides what follows a failed attempt: whether and when to retry, and which errors are alike.

Errors of any library are judged by what they have: a status, headers, a name. No library is therefore imported.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from .failures import (
    chain_of,
    class_names,
    is_group,
    members_of,
)
from .provider_errors import ProviderError, read_provider_error

MAX_RETRY_AFTER_SECONDS = 3600.0
"""Longest pause before a retry that a server may request."""

MAX_DOUBLINGS = 64
MAX_JUDGED = 500
"""Maximum errors read for one verdict, including causes and members of groups."""

MAX_TEXT_LENGTH = 2_000

AGENT_ERROR = "agent_error"
TIMEOUT = "timeout"
RATE_LIMITED = "rate_limited"
PROVIDER_UNAVAILABLE = "provider_unavailable"
PROVIDER_REFUSED = "provider_refused"
QUOTA_EXHAUSTED = "quota_exhausted"
CONTEXT_TOO_LONG = "context_too_long"
RECURSION_LIMIT = "recursion_limit"
STATE_TYPE_REFUSED = "state_type_refused"

PASSING_STATUSES = frozenset({408, 409, 425, 429})
"""Statuses from 400 to 499 that a retry may avoid."""

PAUSE_STATUSES = frozenset({429, 503, 529})
"""Statuses with which a server may request a pause."""

VAGUE_STATUSES = frozenset({None, 400, 424})
"""Statuses for which the error's name decides: AWS reports rate limits with 400."""

RATE_NAMES = frozenset(
    {
        "bandwidthlimitexceeded", "ec2throttledexception", "limitexceededexception", "prioritizerequest",
        "priorrequestnotcomplete", "provisionedthroughputexceededexception", "rate_limit_error", "rate_limit_exceeded",
        "requestlimitexceeded", "requestthrottled", "requestthrottledexception", "resource_exhausted", "slowdown",
        "throttledexception", "throttling", "throttling.toomanyrequests", "throttling_error", "throttlingexception",
        "too_many_requests", "toomanyrequestsexception", "transactioninprogressexception",
    }
)  # fmt: skip
UNAVAILABLE_NAMES = frozenset(
    {
        "api_error", "internal_server_error", "internalfailure", "internalserverexception", "modelerrorexception",
        "modelnotreadyexception", "modelstreamerrorexception", "overloaded", "overloaded_error", "server_error",
        "service_unavailable", "serviceunavailable", "serviceunavailableexception",
    }
)  # fmt: skip
TIMEOUT_NAMES = frozenset({"modeltimeoutexception", "requesttimeout", "requesttimeoutexception", "timeout_error"})
PASSING_NAMES = (
    (RATE_NAMES, RATE_LIMITED), (UNAVAILABLE_NAMES, PROVIDER_UNAVAILABLE), (TIMEOUT_NAMES, TIMEOUT),
)  # fmt: skip
REFUSED_NAMES = frozenset(
    {
        "accessdeniedexception", "authentication_error", "expiredtokenexception", "invalid_api_key",
        "invalid_prompt", "invalid_request_error", "not_found_error", "permission_error", "request_too_large",
        "resourcenotfoundexception", "unrecognizedclientexception", "validationexception",
    }
)  # fmt: skip
QUOTA_NAMES = frozenset(
    {
        "billing_error", "billing_hard_limit_reached", "billing_not_active", "credit_balance_too_low",
        "exceeded_current_quota_error",
        "insufficient_balance", "insufficient_credits", "insufficient_funds", "insufficient_quota",
        "servicequotaexceededexception",
    }
)  # fmt: skip
QUOTA_STATUSES = frozenset({None, 400, 401, 403, 422, 429})
QUOTA_WORDS = re.compile(
    r"credit balance (?:is )?too low|insufficient[ _](?:quota|credits?|balance|funds)|billing[ _]hard[ _]limit"
    r"|account is not active, please check your billing|reached your specified (?:\w+ )?(?:api )?usage limits"
    r"|out of credits|budget has been exceeded|used all (?:of your |your )?available credits|credits are depleted"
    r"|exceeded your current quota, please check your plan and billing details\. For more information on this error, "
    "read",
    re.IGNORECASE,
)
GOOGLE_QUOTA = "resource_exhausted"
DAILY_QUOTA = re.compile(r"PerDay|per day", re.IGNORECASE)
"""Google reports `exceeded your current quota` also for a quota per minute. Only a daily quota outlasts our retries."""

CONTEXT_CODE = "context_length_exceeded"
CONTEXT_WORDS = re.compile(
    r"maximum context length|context[ _]length[ _]exceeded|(?:prompt|input) is too long|exceeds? (?:the )?context limit"
    r"|exceed_context_size|input token count \S+ exceeds|too many tokens",
    re.IGNORECASE,
)
CONTEXT_NAME = re.compile("ContextOverflow|ContextWindowExceeded")
TIMEOUT_NAME = re.compile(r"Time(d)?out")
CONNECTION_NAME = re.compile(
    r"Connect|ReadError|WriteError|ProtocolError|NetworkError|ChunkedEncoding|IncompleteRead|PayloadError"
    r"|URLError|EventStreamError|ResponseStreamingError"
)

QUOTED = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)(?!\w)""")
IDENTIFIER = re.compile(r"\b[\w-]*\d[\w-]*|\b[a-f]{8,}\b", re.IGNORECASE)
FINGERPRINT_LENGTH = 16


class Verdict(NamedTuple):
    """The meaning of an error. `permanent`: a retry cannot help. `pause`: the seconds that the server asked to wait."""

    permanent: bool
    code: str
    pause: float | None = None


NAMED_VERDICTS = {
    "GraphRecursionError": Verdict(
        permanent=True, code=RECURSION_LIMIT
    ),  # Python's RecursionError is a fault of the agent
    "StateTypesRefused": Verdict(permanent=True, code=STATE_TYPE_REFUSED),  # only a restart changes the setting
}
"""Verdicts on errors that are known by their class alone."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts, with full jitter: a random time below a limit that doubles.

    `uniform` returns a random number between its two arguments.
    """

    base_seconds: float
    max_seconds: float
    uniform: Callable[[float, float], float]

    def pause_after(self, attempt: int) -> float:
        """Return the seconds to wait after this attempt, counted from 1."""
        return self.uniform(0.0, self.limit_after(attempt))

    def limit_after(self, attempt: int) -> float:
        """Return the longest pause after this attempt, in seconds."""
        return min(self.max_seconds, self.base_seconds * 2.0 ** min(attempt - 1, MAX_DOUBLINGS))


def judge(error: BaseException, now: datetime) -> Verdict:
    """Return the verdict on an error of an agent.

    Read the error and its causes, the outermost first. The first error with a known meaning decides. In a group, one
    permanent error is enough. An unknown error is worth a retry, which continues after the last finished step. Raises
    nothing, whatever the error's class does.
    """
    return _judged(error, now, iter(range(MAX_JUDGED))) or Verdict(permanent=False, code=AGENT_ERROR)


def fingerprint(error_class: str, node: str | None, text: str) -> str:
    """Return a short key for errors of one class, node and text. Ids and values in the text do not count."""
    normal = " ".join(IDENTIFIER.sub("#", QUOTED.sub("''", text[:MAX_TEXT_LENGTH])).split())
    kind = json.dumps([error_class, node, normal])
    return hashlib.sha256(kind.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def _judged(error: BaseException, now: datetime, budget: Iterator[int]) -> Verdict | None:
    """Return the verdict on the error and its causes; None if none of them has a known meaning.

    Each error that is read takes one item from `budget`. The reading ends when `budget` is empty.
    """
    for each in chain_of(error):
        if next(budget, None) is None:
            return None
        if is_group(each):
            judged = (_judged_member(member, now, budget) for member in members_of(each))  # type: ignore[arg-type]  # a group
            if verdicts := [verdict for verdict in judged if verdict is not None]:
                return max(verdicts, key=lambda verdict: (verdict.permanent, verdict.pause or 0))
        elif (verdict := _verdict(each, now)) is not None:
            return verdict
    return None


def _judged_member(error: BaseException, now: datetime, budget: Iterator[int]) -> Verdict | None:
    """Return the verdict on a member of a group and its causes; None if none has a known meaning.

    Do not look into groups among the causes. `budget` works as in `_judged`.
    """
    for each in chain_of(error):
        if next(budget, None) is None:
            return None
        if (verdict := _verdict(each, now)) is not None:
            return verdict
    return None


def _verdict(error: BaseException, now: datetime) -> Verdict | None:
    """Return the verdict on one error, without its causes; None if its meaning is unknown."""
    names = class_names(error)
    for name in names:
        if (verdict := NAMED_VERDICTS.get(name)) is not None:
            return verdict
    if any(map(CONTEXT_NAME.search, names)):
        return Verdict(permanent=True, code=CONTEXT_TOO_LONG)
    provider_error = read_provider_error(error, now)
    if provider_error is not None and (verdict := _verdict_on_provider(provider_error)) is not None:
        return verdict
    if issubclass(type(error), TimeoutError) or any(map(TIMEOUT_NAME.search, names)):
        return Verdict(permanent=False, code=TIMEOUT)
    if issubclass(type(error), ConnectionError) or any(map(CONNECTION_NAME.search, names)):
        return Verdict(permanent=False, code=PROVIDER_UNAVAILABLE)
    return None


def _verdict_on_provider(provider_error: ProviderError) -> Verdict | None:
    """Return the verdict on a provider's error; None if its meaning is unknown.

    The error's text is searched. Only provider errors are searched in this way, since an agent's own error may say
    anything.
    """
    status = provider_error.status
    pause = None if provider_error.pause is None else min(provider_error.pause, MAX_RETRY_AFTER_SECONDS)
    if CONTEXT_CODE in provider_error.names or (status in (400, 413) and CONTEXT_WORDS.search(provider_error.text)):
        return Verdict(permanent=True, code=CONTEXT_TOO_LONG)
    if _is_used_up(provider_error):
        return Verdict(permanent=True, code=QUOTA_EXHAUSTED)
    if status in VAGUE_STATUSES:
        for names, code in PASSING_NAMES:
            if provider_error.names & names:
                return Verdict(permanent=False, code=code, pause=pause)
    if status is not None:
        return _verdict_on_status(status, pause if status in PAUSE_STATUSES else None)
    return Verdict(permanent=True, code=PROVIDER_REFUSED) if provider_error.names & REFUSED_NAMES else None


def _is_used_up(provider_error: ProviderError) -> bool:
    """Return whether the account has no credit left. Waiting does not restore it."""
    if provider_error.status == 402 or provider_error.names & QUOTA_NAMES:
        return True
    if provider_error.status not in QUOTA_STATUSES:
        return False
    from_google = GOOGLE_QUOTA in provider_error.names or GOOGLE_QUOTA.upper() in provider_error.text
    return bool(QUOTA_WORDS.search(provider_error.text) or (from_google and DAILY_QUOTA.search(provider_error.text)))


def _verdict_on_status(status: int, pause: float | None) -> Verdict:
    if status == 429:
        return Verdict(permanent=False, code=RATE_LIMITED, pause=pause)
    if status >= 500 or status in PASSING_STATUSES:
        return Verdict(permanent=False, code=TIMEOUT if status == 408 else PROVIDER_UNAVAILABLE, pause=pause)
    return Verdict(permanent=True, code=PROVIDER_REFUSED)
