"""Checks why messages fail, from the newest ended messages and the last attempts of unfinished ones."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from ...models.diagnosis import Finding, FindingCode, SampledMessage
from ...models.messages import MessageState
from ...policy import retry
from .findings import counted, curl, error, example, warning
from .queue_checks import url_of
from .sources import Sources

LATELY_SECONDS = 3600.0
"""Age up to which ended messages count."""

FEW = 3
"""Failures below this number are told by the messages themselves."""

MANY = 5
OFTEN = 0.2
"""Share of the ended messages that failed from which on it is told."""

STORM_RETRIES, STORM_SHARE = 10, 0.5
POISONED_AFTER = 2
"""Number of lost leases after which a message counts as poisonous. It fails at the third."""

WORKER_LOST = "worker_lost"

TOLD_APART = frozenset({retry.QUOTA_EXHAUSTED, retry.PROVIDER_REFUSED, retry.RATE_LIMITED, retry.TIMEOUT, WORKER_LOST})
"""Codes that have checks of their own."""


async def _lately_ended(sources: Sources) -> list[SampledMessage]:
    now = sources.now()
    return [each for each in await sources.sample() if _has_ended(each) and _age(now, each) <= LATELY_SECONDS]


async def _with_code(sources: Sources, code: str) -> list[SampledMessage]:
    """Return messages that failed lately with this code, or whose last attempt did."""
    unfinished = [each for each in await sources.sample() if not _has_ended(each) and each.attempt]
    return [each for each in [*await _lately_ended(sources), *unfinished] if each.error_code == code]


def _has_ended(message: SampledMessage) -> bool:
    return message.state in (MessageState.COMPLETED, MessageState.FAILED, MessageState.CANCELLED)


def _age(now: datetime, message: SampledMessage) -> float:
    return (now - message.at).total_seconds()


def _requeue(sources: Sources, found: Sequence[SampledMessage], code: str) -> str:
    count = sum(each.state is MessageState.FAILED and sources.tenant in (None, each.tenant) for each in found)
    body = json.dumps({"filter": {"error_code": code}, "expected_count": count})
    return f"curl {url_of(sources)}/dead-letters/requeue -H 'Content-Type: application/json' -d '{body}'"


async def quota_exhausted(sources: Sources) -> Sequence[Finding]:
    """Find messages that failed because the provider's account has no credit."""
    found = await _with_code(sources, retry.QUOTA_EXHAUSTED)
    if not found:
        return []
    detail = (
        f"{counted(len(found), 'message')} failed in the last hour{example(found, sources.tenant)}. Add credit at the "
        "provider first, then queue them again."
    )
    return [error(FindingCode.QUOTA_EXHAUSTED, detail, _requeue(sources, found, retry.QUOTA_EXHAUSTED))]


async def provider_refused(sources: Sources) -> Sequence[Finding]:
    """Find messages whose model refused the call for good."""
    found = await _with_code(sources, retry.PROVIDER_REFUSED)
    if not found:
        return []
    detail = (
        f"{counted(len(found), 'message')} failed in the last hour{example(found, sources.tenant)}. Check "
        f"OPENAI_API_KEY and MODEL_NAME ({sources.settings.model_name}), then queue them again."
    )
    return [error(FindingCode.PROVIDER_REFUSED, detail, _requeue(sources, found, retry.PROVIDER_REFUSED))]


async def provider_limit(sources: Sources) -> Sequence[Finding]:
    """Find attempts that the provider refused with 429."""
    found = await _with_code(sources, retry.RATE_LIMITED)
    if len(found) < FEW:
        return []
    detail = (
        f"The last attempts of {counted(len(found), 'message')} were refused with 429{example(found, sources.tenant)}. "
        "Fewer messages at a time lose less time to retries."
    )
    fewer = max(1, sources.settings.worker_concurrency // 2)
    return [warning(FindingCode.PROVIDER_LIMIT, detail, f"WORKER_CONCURRENCY={fewer} agentq worker")]


async def timeouts(sources: Sources) -> Sequence[Finding]:
    """Find messages that take longer than they may."""
    found = await _with_code(sources, retry.TIMEOUT)
    if len(found) < FEW:
        return []
    limit = sources.settings.processing_timeout
    detail = (
        f"The last attempts of {counted(len(found), 'message')} took too long{example(found, sources.tenant)}. "
        f"PROCESSING_TIMEOUT is {limit:g} s."
    )
    return [warning(FindingCode.TIMEOUTS, detail, f"PROCESSING_TIMEOUT={2 * limit:g} agentq worker")]


async def messages_fail(sources: Sources) -> Sequence[Finding]:
    """Find that many of the newest messages failed, for reasons that no other check tells."""
    ended = [each for each in await _lately_ended(sources) if each.state is not MessageState.CANCELLED]
    failed = [each for each in ended if each.state is MessageState.FAILED and each.error_code not in TOLD_APART]
    if len(failed) < MANY or len(failed) < OFTEN * len(ended):
        return []
    codes = ", ".join(f"{code} ({count})" for code, count in Counter(each.error_code for each in failed).most_common(3))
    detail = (
        f"{len(failed)} of the {counted(len(ended), 'message')} that ended in the last hour failed"
        f"{example(failed, sources.tenant)}. Codes: {codes}."
    )
    return [warning(FindingCode.MESSAGES_FAIL, detail, curl(url_of(sources), "GET /dead-letters/groups"))]


async def retry_storm(sources: Sources) -> Sequence[Finding]:
    """Find that most attempts repeat earlier ones."""
    recent = [each for each in await sources.sample() if not _has_ended(each) and each.attempt]
    recent += await _lately_ended(sources)
    again = [each.state is MessageState.QUEUED for each in recent]
    attempts = sum(each.attempt + more for each, more in zip(recent, again, strict=True))
    retries = attempts - len(recent)
    if retries < STORM_RETRIES or retries < STORM_SHARE * attempts:
        return []
    codes = ", ".join(
        f"{code} ({count})" for code, count in Counter(each.error_code for each in recent).most_common(3) if code
    )
    detail = f"{retries} of the last {attempts} attempts are retries. Codes of failed attempts: {codes or 'none'}."
    return [warning(FindingCode.RETRY_STORM, detail, curl(url_of(sources), "POST /queue/pause"))]


async def poison_message(sources: Sources) -> Sequence[Finding]:
    """Find messages whose workers were lost again and again."""
    sample = await sources.sample()
    unfinished = [each for each in sample if not _has_ended(each) and each.crashes >= POISONED_AFTER]
    found = [*unfinished, *(each for each in await _lately_ended(sources) if each.error_code == WORKER_LOST)]
    if not found:
        return []
    detail = (
        f"The workers of {counted(len(found), 'message')} were lost {POISONED_AFTER} times or more"
        f"{example(found, sources.tenant)}. Their agents may end the process, or use up its memory."
    )
    shown = next((each.id for each in found if sources.tenant in (None, each.tenant)), None)
    request = "GET /dead-letters" if shown is None else f"POST /messages/{shown}/cancel"
    if shown is not None and all(_has_ended(each) for each in found if each.id == shown):
        request = f"GET /messages/{shown}"
    return [error(FindingCode.POISON_MESSAGE, detail, curl(url_of(sources), request))]
