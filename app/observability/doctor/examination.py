"""Runs the checks, all at once, each within a time limit. A check that fails does not end the others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ...errors import StoreError
from ...models.diagnosis import Finding, FindingCode, Report, Unchecked
from . import access_checks, engine_checks, failure_checks, process_checks, queue_checks
from .findings import error, report
from .sources import Sources

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
"""Time limit of a check."""

Examine = Callable[[Sources], Awaitable[Sequence[Finding]]]


class Check(NamedTuple):
    """A check, and the kinds of findings that it may have."""

    name: str
    examine: Examine
    codes: tuple[FindingCode, ...]


def _check(examine: Examine, *codes: FindingCode) -> Check:
    name = examine.__name__
    return Check(name, examine, codes or (FindingCode(name),))


CHECKS: tuple[Check, ...] = (
    _check(engine_checks.database_away),
    _check(engine_checks.store_volatile),
    _check(queue_checks.no_worker),
    _check(queue_checks.workers_drained),
    _check(queue_checks.worker_lost),
    _check(queue_checks.workers_busy),
    _check(queue_checks.agents, FindingCode.AGENT_LOADING, FindingCode.AGENT_FAILED, FindingCode.HUNG_THREADS),
    _check(queue_checks.agent_missing),
    _check(queue_checks.queue_paused),
    _check(queue_checks.queue_full),
    _check(queue_checks.thread_waits),
    _check(queue_checks.tenant_waits),
    _check(process_checks.hung_threads),
    _check(process_checks.loop_blocked),
    _check(process_checks.heartbeat_lost),
    _check(process_checks.memory_unusable),
    _check(process_checks.streams_cut),
    _check(failure_checks.messages_fail),
    _check(failure_checks.quota_exhausted),
    _check(failure_checks.provider_refused),
    _check(failure_checks.provider_limit),
    _check(failure_checks.timeouts),
    _check(failure_checks.retry_storm),
    _check(failure_checks.poison_message),
    _check(access_checks.this_host_only),
    _check(access_checks.open_to_all),
    _check(access_checks.key_expires),
    _check(engine_checks.clock_skew),
    _check(engine_checks.engine_nearly_full),
    _check(engine_checks.log_growing),
    _check(engine_checks.long_transaction),
    _check(engine_checks.few_connections),
)


async def examine(sources: Sources, checks: Sequence[Check] = CHECKS, *, seconds: float = CHECK_SECONDS) -> Report:
    """Run the checks and return their report. `seconds` limits each check."""
    findings: list[Finding] = []
    unchecked: list[Unchecked] = []
    results = await asyncio.gather(*(_result_of(check, sources, seconds) for check in checks))
    for check, result in zip(checks, results, strict=True):
        if isinstance(result, str):
            unchecked.append(Unchecked(check=check.name, reason=result))
        else:
            findings += result
    return report(findings, unchecked, checks=len(checks))


async def _result_of(check: Check, sources: Sources, seconds: float) -> Sequence[Finding] | str:
    """Return the findings of a check, or why it could not be made. No text of an error of the store is shown."""
    try:
        async with asyncio.timeout(seconds):
            return await check.examine(sources)
    except (StoreError, TimeoutError) as failure:
        detail = failure.state if isinstance(failure, StoreError) else f"The answer takes more than {seconds:g} s."
        if FindingCode.DATABASE_AWAY in check.codes:
            return [error(FindingCode.DATABASE_AWAY, detail, "agentq doctor  # again, when the database runs")]
        return detail
    except Exception:
        logger.exception("A check failed: name=%s", check.name)
        return "The check failed; the log has more."
