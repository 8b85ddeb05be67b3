"""A diagnosis reads every engine, and finds faults in the messages of all tenants."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.access.management import KeyManager
from app.access.scopes import AccessScope
from app.config import Settings
from app.doctor import StoreSources
from app.models.attempts import Failed, Retry
from app.models.diagnosis import Finding, FindingCode, Resource, Severity
from app.models.messages import MessageState, Readiness
from app.models.tenants import TenantLimits, TenantSettings
from app.models.workers import AgentState, ServedAgent
from app.observability.doctor.examination import CHECKS, Check, examine
from app.observability.doctor.failure_checks import MANY, STORM_RETRIES
from app.policy import retry
from app.store.ports import Store
from tests.clock import ManualClock
from tests.contract.builders import (
    AGENT,
    ALL,
    DONE,
    FAILED,
    LEASE_SECONDS,
    OTHER_TENANT,
    RETRIED,
    TENANT,
    WORKER,
    add,
    claim,
    claim_one,
    dead_letter,
    interrupt,
    start,
    worker,
)

SETTINGS = Settings(_env_file=None, host="127.0.0.1", max_queue_size=100, lease_seconds=LEASE_SECONDS)
FAILURES = (
    FindingCode.QUOTA_EXHAUSTED,
    FindingCode.PROVIDER_REFUSED,
    FindingCode.PROVIDER_LIMIT,
    FindingCode.TIMEOUTS,
    FindingCode.MESSAGES_FAIL,
)
AVAILABLE = (ServedAgent(name=AGENT, state=AgentState.AVAILABLE),)


def beat(store: Store, agents: Sequence[ServedAgent] = AVAILABLE, **fields: Any) -> None:
    """A heartbeat of a worker with these agents, which holds nothing."""
    with store.open_lease_renewer() as renewer:
        renewer.beat(worker().model_copy(update={"agents": tuple(agents), **fields}), [], lease_seconds=LEASE_SECONDS)


async def found(
    store: Store, *codes: FindingCode, tenant: str | None = None, settings: Settings = SETTINGS
) -> list[Finding]:
    """The findings of an examination with one of these codes, or all. The clock of the tests is not this host's."""
    sources = StoreSources(store, settings, tenant=tenant, wall_clock=store.now)
    report = await examine(sources)
    await sources.close()
    assert report.unchecked == ()
    return [each for each in report.findings if not codes or each.code in codes]


async def test_a_sample_has_every_kind_of_message(store: Store) -> None:
    waiting = await add(store, thread="t", tenant=OTHER_TENANT)
    blocked = await add(store, thread="t", tenant=OTHER_TENANT)
    delayed = await add(store, run_at=store.now() + timedelta(seconds=60))
    await claim_one(store)
    ended = await dead_letter(store)
    sample = {each.id: each for each in await store.sample_messages(limit=ALL)}
    assert {each.id: (each.state, each.readiness, each.thread_id) for each in sample.values()} == {
        waiting.id: (MessageState.PROCESSING, None, "t"),
        blocked.id: (MessageState.QUEUED, Readiness.BLOCKED, "t"),
        delayed.id: (MessageState.QUEUED, Readiness.DELAYED, None),
        ended.id: (MessageState.FAILED, None, None),
    }
    assert (sample[waiting.id].worker_id, sample[waiting.id].tenant) == (WORKER, OTHER_TENANT)
    assert (sample[ended.id].error_code, sample[ended.id].attempt, sample[ended.id].at) == (FAILED.code, 1, store.now())


async def test_a_sample_is_limited_by_kind_and_takes_the_newest_that_ended(store: Store, clock: ManualClock) -> None:
    for _ in range(3):
        await dead_letter(store)
        clock.advance(1)
    newest = await dead_letter(store)
    for _ in range(3):
        await add(store)
    sample = await store.sample_messages(limit=1)
    assert [each.state for each in sample] == [MessageState.QUEUED, MessageState.FAILED]
    assert sample[-1].id == newest.id


async def test_an_unfinished_message_has_the_code_of_its_last_attempt(store: Store, clock: ManualClock) -> None:
    lease = await start(store)
    await store.finish(lease, Retry("Slow down.", retry.RATE_LIMITED, 5))
    (sampled,) = await store.sample_messages(limit=ALL)
    assert (sampled.error_code, sampled.attempt) == (retry.RATE_LIMITED, 1)
    clock.advance(6)
    await store.promote()
    await store.finish(await claim_one(store), Retry("Too long.", retry.TIMEOUT, 5))
    (sampled,) = await store.sample_messages(limit=ALL)
    assert (sampled.error_code, sampled.attempt) == (retry.TIMEOUT, 2)


async def test_every_engine_tells_its_space_or_its_log(store: Store) -> None:
    readings = await store.read_engine()
    assert {Resource.SPACE, Resource.LOG} & {each.resource for each in readings}
    assert all(each.limit > 0 and each.used >= 0 and each.subject and each.cure for each in readings)


async def test_a_healthy_queue_has_no_findings(store: Store) -> None:
    beat(store)
    await store.finish(await start(store), DONE)
    await interrupt(store)
    await add(store)
    settings = SETTINGS.model_copy(update={"database_url": "memory://"})
    assert await found(store, *(set(FindingCode) - {FindingCode.STORE_VOLATILE}), settings=settings) == []


async def test_no_worker(store: Store) -> None:
    assert [each.severity for each in await found(store, FindingCode.NO_WORKER)] == [Severity.NOTE]
    await add(store)
    (finding,) = await found(store, FindingCode.NO_WORKER)
    assert (finding.severity, finding.cure) == (Severity.ERROR, "agentq worker")
    beat(store)
    assert await found(store, FindingCode.NO_WORKER) == []


async def test_drained_workers(store: Store) -> None:
    with store.open_lease_renewer() as renewer:
        for name in ("a", "b"):
            renewer.beat(worker(name), (), lease_seconds=LEASE_SECONDS)
    await store.drain_worker("b", draining=True)
    (finding,) = await found(store, FindingCode.WORKERS_DRAINED)
    assert (finding.severity, finding.cure.split("  #")[0]) == (Severity.NOTE, "agentq workers resume b")
    assert finding.detail.startswith("1 worker of 2 drained")
    await store.drain_worker("a", draining=True)
    assert [each.severity for each in await found(store, FindingCode.WORKERS_DRAINED)] == [Severity.WARNING]
    await add(store)
    (finding,) = await found(store, FindingCode.WORKERS_DRAINED)
    assert (finding.severity, finding.detail) == (Severity.ERROR, "All 2 workers are drained, and 1 message waiting.")
    await store.drain_worker("a", draining=False)
    await store.drain_worker("b", draining=False)
    assert await found(store, FindingCode.WORKERS_DRAINED) == []


async def test_a_lost_worker(store: Store, clock: ManualClock) -> None:
    beat(store)
    held = await start(store)
    clock.advance(LEASE_SECONDS * 0.6)
    (silent,) = await found(store, FindingCode.WORKER_LOST)
    assert WORKER in silent.detail
    with store.open_lease_renewer() as renewer:
        renewer.stop(WORKER)
    (finding,) = await found(store, FindingCode.WORKER_LOST)
    assert held.message_id in finding.detail


async def test_busy_workers(store: Store, clock: ManualClock) -> None:
    beat(store)
    await start(store)
    await add(store)
    assert await found(store, FindingCode.WORKERS_BUSY) == []
    clock.advance(61)
    beat(store)
    (finding,) = await found(store, FindingCode.WORKERS_BUSY)
    assert finding.cure == "WORKER_CONCURRENCY=2 agentq worker"


async def test_agents_that_workers_cannot_run(store: Store, clock: ManualClock) -> None:
    states = {AgentState.FAILED: "No module named 'missing'", AgentState.STUCK: "64 runs do not stop."}
    served = [ServedAgent(name=state, state=state, error=error) for state, error in states.items()]
    beat(store, [*served, ServedAgent(name="slow", state=AgentState.LOADING)])
    findings = await found(store, FindingCode.AGENT_FAILED, FindingCode.HUNG_THREADS, FindingCode.AGENT_LOADING)
    assert {each.code: each.detail.partition(": ")[2] for each in findings} == {
        FindingCode.AGENT_FAILED: states[AgentState.FAILED],
        FindingCode.HUNG_THREADS: states[AgentState.STUCK],
    }
    clock.advance(200)
    beat(store, [ServedAgent(name="slow", state=AgentState.LOADING)])
    (finding,) = await found(store, FindingCode.AGENT_LOADING)
    assert "'slow'" in finding.detail


async def test_a_missing_agent(store: Store) -> None:
    await add(store, agent="elsewhere", tenant=OTHER_TENANT)
    assert await found(store, FindingCode.AGENT_MISSING) == []
    beat(store)
    (finding,) = await found(store, FindingCode.AGENT_MISSING)
    assert finding.severity is Severity.ERROR
    assert "'elsewhere'" in finding.detail
    beat(store, [*AVAILABLE, ServedAgent(name="elsewhere", state=AgentState.AVAILABLE)])
    assert await found(store, FindingCode.AGENT_MISSING) == []


async def test_a_paused_queue(store: Store) -> None:
    await store.pause(paused=True)
    (finding,) = await found(store, FindingCode.QUEUE_PAUSED)
    assert finding.cure == "curl -X POST http://localhost:8000/queue/resume"


@pytest.mark.parametrize(("limit", "severity"), [(6, None), (5, Severity.WARNING), (4, Severity.ERROR)])
async def test_a_full_queue(store: Store, limit: int, severity: Severity | None) -> None:
    for _ in range(4):
        await add(store)
    findings = await found(
        store, FindingCode.QUEUE_FULL, settings=SETTINGS.model_copy(update={"max_queue_size": limit})
    )
    assert [each.severity for each in findings] == ([] if severity is None else [severity])


async def test_a_tenant_that_runs_as_many_messages_as_it_may(store: Store) -> None:
    await store.put_tenant(TENANT, TenantSettings(limits=TenantLimits(running=1)), revision=None)
    for _ in range(3):
        await add(store)
    await claim_one(store)
    assert await found(store, FindingCode.TENANT_WAITS) == []
    assert await claim(store, 3) == []
    (finding,) = await found(store, FindingCode.TENANT_WAITS)
    assert (finding.severity, finding.detail[:10]) == (Severity.NOTE, "2 messages")


async def test_a_long_thread(store: Store) -> None:
    for _ in range(10):
        await add(store, thread="t")
    assert await found(store, FindingCode.THREAD_WAITS) == []
    await add(store, thread="t")
    assert len(await found(store, FindingCode.THREAD_WAITS)) == 1


@pytest.mark.parametrize(
    ("code", "failure", "count", "severity"),
    [
        (FindingCode.QUOTA_EXHAUSTED, retry.QUOTA_EXHAUSTED, 1, Severity.ERROR),
        (FindingCode.PROVIDER_REFUSED, retry.PROVIDER_REFUSED, 1, Severity.ERROR),
        (FindingCode.PROVIDER_LIMIT, retry.RATE_LIMITED, 3, Severity.WARNING),
        (FindingCode.TIMEOUTS, retry.TIMEOUT, 3, Severity.WARNING),
        (FindingCode.MESSAGES_FAIL, retry.AGENT_ERROR, MANY, Severity.WARNING),
    ],
)
async def test_failures_of_one_kind(
    store: Store, clock: ManualClock, code: FindingCode, failure: str, count: int, severity: Severity
) -> None:
    for _ in range(count - 1):
        await dead_letter(store, Failed("It broke.", failure))
    assert await found(store, *FAILURES) == []
    letter = await dead_letter(store, Failed("It broke.", failure))
    (finding,) = await found(store, *FAILURES)
    assert (finding.code, finding.severity) == (code, severity)
    assert "such as" in finding.detail
    clock.advance(3601)
    assert await found(store, *FAILURES) == [], "it is long ago"
    assert (await store.get(TENANT, letter.id)).state is MessageState.FAILED


async def test_a_retry_storm(store: Store) -> None:
    for _ in range(STORM_RETRIES - 1):
        await store.finish(await start(store), RETRIED)
    assert await found(store, FindingCode.RETRY_STORM) == []
    await store.finish(await start(store), RETRIED)
    (finding,) = await found(store, FindingCode.RETRY_STORM)
    assert f"{STORM_RETRIES} of the last {2 * STORM_RETRIES}" in finding.detail
    for _ in range(STORM_RETRIES):
        await store.finish(await start(store), DONE)
    assert await found(store, FindingCode.RETRY_STORM) == []


async def test_a_poison_message(store: Store, clock: ManualClock) -> None:
    message = await add(store)
    for lost in range(3):
        findings = await found(store, FindingCode.POISON_MESSAGE)
        assert len(findings) == (lost >= 2)
        await claim_one(store)
        clock.advance(LEASE_SECONDS + 1)
        await store.rescue()
    (finding,) = await found(store, FindingCode.POISON_MESSAGE)
    assert finding.severity is Severity.ERROR
    assert finding.cure.endswith(f"/messages/{message.id}")


async def test_a_skewed_clock_of_a_worker(store: Store) -> None:
    beat(store, clock_ahead_ms=-4_000)
    assert await found(store, FindingCode.CLOCK_SKEW) == []
    beat(store, clock_ahead_ms=-61_500)
    (finding,) = await found(store, FindingCode.CLOCK_SKEW)
    assert WORKER in finding.detail
    assert "61.5 s behind" in finding.detail


async def test_a_skewed_clock_of_this_host(store: Store) -> None:
    sources = StoreSources(store, SETTINGS, tenant=None, wall_clock=lambda: store.now() + timedelta(seconds=30))
    report = await examine(sources)
    await sources.close()
    assert [each.detail for each in report.findings if each.code is FindingCode.CLOCK_SKEW] == [
        "The clock of this host is 30.0 s ahead of the database's."
    ]


async def test_a_key_that_expires_soon(store: Store) -> None:
    manager = KeyManager(store)
    await manager.create(TENANT, "later", (AccessScope.READ,), store.now() + timedelta(days=30))
    await manager.create(OTHER_TENANT, "soon", (AccessScope.READ,), store.now() + timedelta(hours=30))
    (finding,) = await found(store, FindingCode.KEY_EXPIRES)
    assert "30 hours" in finding.detail
    assert await found(store, FindingCode.KEY_EXPIRES, tenant=TENANT) == []


async def test_who_is_served_without_a_key(store: Store) -> None:
    everywhere = SETTINGS.model_copy(update={"host": "0.0.0.0"})
    codes = FindingCode.THIS_HOST_ONLY, FindingCode.OPEN_TO_ALL
    assert await found(store, *codes) == []
    assert [each.code for each in await found(store, *codes, settings=everywhere)] == [FindingCode.THIS_HOST_ONLY]
    anonymous = everywhere.model_copy(update={"allow_anonymous": True})
    assert [each.code for each in await found(store, *codes, settings=anonymous)] == [FindingCode.OPEN_TO_ALL]
    await KeyManager(store).create(TENANT, "first", (AccessScope.READ,), None)
    assert await found(store, *codes, settings=everywhere) == []


async def test_findings_show_ids_of_the_callers_tenant_only(store: Store, clock: ManualClock) -> None:
    """Each check that names a message is made to name one."""
    beat(store, [ServedAgent(name="other", state=AgentState.AVAILABLE)])
    for _ in range(11):
        await add(store, tenant=OTHER_TENANT, thread="a thread")
    for code in (retry.QUOTA_EXHAUSTED, retry.PROVIDER_REFUSED, *3 * [retry.RATE_LIMITED], *3 * [retry.TIMEOUT]):
        await _fail(store, code)
    for _ in range(2 * MANY):
        await _fail(store, retry.AGENT_ERROR)
    await add(store, tenant=OTHER_TENANT, agent="taken")
    await claim_one(store, agents=["taken"], worker="gone")
    ids = {each.id for each in await store.sample_messages(limit=ALL)}
    told = await found(store)
    assert {each.code for each in told if any(name in each.detail + each.cure for name in ids)} >= {
        FindingCode.AGENT_MISSING,
        FindingCode.THREAD_WAITS,
        FindingCode.WORKER_LOST,
        FindingCode.QUOTA_EXHAUSTED,
        FindingCode.MESSAGES_FAIL,
    }
    for finding in await found(store, tenant=TENANT):
        assert not any(name in finding.detail + finding.cure for name in ids)
        assert "a thread" not in finding.model_dump_json()


async def _fail(store: Store, code: str) -> None:
    await add(store, tenant=OTHER_TENANT, agent="fails")
    await store.finish(await claim_one(store, agents=["fails"]), Failed("It broke.", code))


async def test_a_check_that_hangs_or_fails_does_not_end_the_others(store: Store) -> None:
    async def hangs(_: object) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def breaks(_: object) -> list[Finding]:
        raise ZeroDivisionError

    await store.pause(paused=True)
    sources = StoreSources(store, SETTINGS, tenant=None, wall_clock=store.now)
    checks = [Check("hangs", hangs, ()), Check("breaks", breaks, ()), *CHECKS]
    report = await examine(sources, checks, seconds=0.5)
    await sources.close()
    assert [each.check for each in report.unchecked] == ["hangs", "breaks"]
    assert FindingCode.QUEUE_PAUSED in {each.code for each in report.findings}
