"""Databases of the PostgreSQL store: how the schema is made, and what is refused with which words."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.errors import ConfigurationError, StoreIncompatible, StoreUnavailable
from app.models.attempts import Released
from app.models.deliveries import DeliveryAttempt
from app.models.messages import IfBusy, MessageFilter, MessageState, Page
from app.store.postgres import migrations
from app.store.postgres.store import PostgresStore
from app.store.sql.named_sql import load_migrations
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    ANSWER,
    DONE,
    FAILED,
    HIGH,
    INTERRUPTED,
    LEASE_SECONDS,
    RETRIED,
    TENANT,
    add,
    add_all,
    beat,
    chunk,
    claim_one,
    log,
    new,
    request_key,
    seen,
    start,
    thread_messages,
)
from tests.postgres_server import GUARDED, PostgresServer, database_of, shared_server
from tests.unit.postgres_tools import ask, opened, refused, tell
from tests.unit.sqlite_tools import python

SECRET = "s3cret-pass"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


CATALOG = """
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT 'column ' || table_name || ' ' || column_name || ' ' || ordinal_position || ' ' || data_type || ' '
        || is_nullable || ' ' || coalesce(column_default, '') || coalesce(collation_name, '') || is_identity AS line
    FROM information_schema.columns WHERE table_schema = 'agent_queue'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'agent_queue'
    UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'agent_queue'::regnamespace
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'agent_queue'::regnamespace
    UNION ALL SELECT 'options ' || relname || coalesce(reloptions::text, '') FROM pg_class
        WHERE relnamespace = 'agent_queue'::regnamespace
) AS lines
"""


# Migrations


async def test_migrations_one_by_one_make_what_a_new_database_has(tmp_path: Path) -> None:
    fresh, stepwise = database_of(tmp_path / "fresh"), database_of(tmp_path / "stepwise")
    async with opened(fresh):
        pass
    tell(stepwise, "CREATE SCHEMA agent_queue CREATE TABLE agent_queue_migrations (number INTEGER PRIMARY KEY)")
    for number, script in load_migrations("postgres"):
        tell(stepwise, script)
        tell(stepwise, f"INSERT INTO agent_queue_migrations VALUES ({number})")
    assert ask(stepwise, CATALOG) == ask(fresh, CATALOG)
    async with opened(stepwise) as store:
        await add(store, thread="t")


async def test_a_database_that_is_opened_again_keeps_everything(url: str, clock: ManualClock) -> None:
    async with opened(url, clock) as store:
        done = await start(store, thread="t")
        await store.append(done, [chunk(0)])
        await store.finish(done, DONE)
        running = await start(store, thread="t")
        await add(store, thread="t")
        before = await seen(store, done.message_id), await seen(store, running.message_id)
        name = await store.queue_id()
    schema = ask(url, CATALOG)
    async with opened(url, clock) as store:
        assert (await seen(store, done.message_id), await seen(store, running.message_id)) == before
        assert await store.queue_id() == name
        await store.append(running, [chunk(0)])
        await store.finish(running, DONE)
    assert ask(url, CATALOG) == schema


OPEN_AND_ADD = """
import asyncio, sys
from app.store.postgres.store import PostgresStore
from tests.contract.builders import add

async def open_and_add(url: str) -> None:
    store = PostgresStore(url, allow_volatile=True)
    print("imported", flush=True)
    sys.stdin.readline()
    await store.open()
    await add(store, thread="t")
    await store.close()
    print("done", flush=True)

asyncio.run(open_and_add(sys.argv[1]))
"""


def test_processes_that_open_a_new_database_together_make_it_once(url: str) -> None:
    with ExitStack() as running:
        processes = [running.enter_context(python(OPEN_AND_ADD, url)) for _ in range(4)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "imported\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in processes] == ["done\n"] * 4
    assert ask(url, "SELECT string_agg(thread_number::text, ',' ORDER BY number) FROM messages") == "1,2,3,4"
    assert ask(url, "SELECT count(*) FROM queue") == 1


async def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    async with opened(url):
        pass
    tell(url, "INSERT INTO agent_queue_migrations VALUES (999)")
    told = await refused(url, StoreIncompatible)
    assert "999" in told
    assert "newer version" in told


async def test_a_schema_of_another_program_is_refused_and_left_alone(url: str) -> None:
    tell(url, "CREATE SCHEMA agent_queue CREATE TABLE messages (theirs INTEGER)")
    assert "another program" in await refused(url, StoreIncompatible)
    assert ask(url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'agent_queue'::regnamespace") == 1


async def test_other_schemas_of_the_database_are_left_alone(url: str) -> None:
    tell(url, "CREATE TABLE public.messages (theirs INTEGER)")
    async with opened(url) as store:
        await add(store)
    assert ask(url, "SELECT count(*) FROM public.messages") == 0
    tell(url, "DROP TABLE public.messages")


async def test_a_schema_that_was_made_for_us_is_used(url: str) -> None:
    shared_server().execute("DROP ROLE IF EXISTS tenant_of_schema")
    shared_server().execute("CREATE ROLE tenant_of_schema LOGIN")
    tell(url, "CREATE SCHEMA agent_queue AUTHORIZATION tenant_of_schema")
    async with opened(url.replace("postgres@", "tenant_of_schema@")) as store:
        await store.finish(await start(store, thread="t"), DONE)
        await store.prune_workers(silent_for_seconds=1)
    tell(url, "DROP SCHEMA agent_queue CASCADE")


# Refusals: one line, that says what to do, and no password


def assert_one_clear_line(told: str, *words: str) -> None:
    assert "\n" not in told
    assert SECRET not in told
    for word in words:
        assert word in told


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """A role that may log in by its password only."""
    server = shared_server()
    server.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{SECRET}'")
    yield GUARDED
    server.execute(f"DROP ROLE {GUARDED}")


def with_password(url: str, password: str) -> str:
    return url.replace("postgres@", f"{GUARDED}:{password}@")


async def test_a_wrong_password_is_told(url: str, guarded: str) -> None:
    told = await refused(with_password(url, SECRET[:-1] + "!"), StoreUnavailable)
    assert_one_clear_line(told, "password", "DATABASE_URL")
    assert SECRET[:-1] not in told


async def test_a_role_without_rights_is_told_which_to_ask_for(url: str, guarded: str) -> None:
    told = await refused(with_password(url, SECRET), StoreIncompatible)
    assert_one_clear_line(told, "GRANT CREATE ON DATABASE", GUARDED)


async def test_a_database_that_does_not_exist_is_told(url: str) -> None:
    told = await refused(url + "_missing", StoreUnavailable)
    assert_one_clear_line(told, "does not exist", "DATABASE_URL")


async def test_a_server_that_is_away_is_told() -> None:
    told = await refused(f"postgresql://me:{SECRET}@127.0.0.1:1/queue", StoreUnavailable)
    assert_one_clear_line(told, "refused. Is the server running", "Check that it runs")


@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql://me:{SECRET}/x@127.0.0.1:5432/queue",
        f"postgresql://me:1234/{SECRET}@127.0.0.1/queue",
        f"postgresql://me:x@{SECRET}@127.0.0.1/queue",
        f"postgresql://me:{SECRET}?@127.0.0.1/queue",
        f"postgresql://me:{SECRET}%@127.0.0.1/queue",
        f"postgresql://127.0.0.1:{SECRET}/queue",
        f"postgresql://me:{SECRET}@127.0.0.1/queue?nonsense={SECRET}",
    ],
)
def test_a_url_that_cannot_be_read_is_told_without_a_piece_of_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        PostgresStore(wrong)
    assert_one_clear_line(str(raised.value), "DATABASE_URL", "percent-encoded")
    assert "1234" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_a_server_that_does_not_flush_is_refused_unless_that_is_allowed(url: str) -> None:
    told = await refused(url, StoreIncompatible, allow_volatile=False)
    assert_one_clear_line(told, "fsync=off", "ALLOW_VOLATILE")
    async with opened(url) as store:
        assert not store.capabilities.durable


async def test_a_role_that_does_not_wait_for_the_disk_is_refused(tmp_path: Path) -> None:
    with PostgresServer() as server:
        url = server.make_database("queue")
        async with opened(url, allow_volatile=False) as store:
            assert store.capabilities.durable
            await add(store)
        server.execute("ALTER ROLE postgres SET synchronous_commit = off")
        told = await refused(url, StoreIncompatible, allow_volatile=False)
        assert_one_clear_line(told, "synchronous_commit=off", "ALLOW_VOLATILE")


async def test_a_server_that_is_too_old_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "OLDEST_SERVER", 990000)
    assert_one_clear_line(await refused(url, StoreIncompatible), "too old", "99")
    assert ask(url, "SELECT to_regnamespace('agent_queue')") is None


async def test_a_database_that_cannot_hold_every_text_is_refused(tmp_path: Path) -> None:
    server = shared_server()
    server.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    try:
        assert_one_clear_line(await refused(server.url_of("ascii"), StoreIncompatible), "SQL_ASCII", "UTF8")
    finally:
        server.execute("DROP DATABASE ascii")


async def test_a_column_that_a_newer_version_adds_breaks_no_older_process(url: str, clock: ManualClock) -> None:
    tables = "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'agent_queue'"
    async with opened(url, clock) as running:
        await use(running, clock)
        for table in ask(url, tables).split():
            tell(url, f"ALTER TABLE {table} ADD COLUMN added_later TEXT DEFAULT 'x'")
        await use(running, clock)
        async with opened(url, clock) as started:
            await use(started, clock)


async def use(store: PostgresStore, clock: ManualClock) -> None:
    """All that a store can do."""
    behind = [await add(store, thread="t") for _ in range(3)]
    lease = await claim_one(store)
    await store.append(lease, [chunk(0)])
    assert (await beat(store)).held == {lease.message_id: lease.fence}
    await store.finish(lease, Released("Again.", delay=1))
    lone = await add(store)
    running = await claim_one(store)
    assert running.message_id == lone.id
    summary = await store.summary(TENANT, limit=ALL)
    assert [len(summary.queued), len(summary.processing)] == [3, 1]
    clock.advance(2)
    assert await store.promote() == 1
    in_thread = await claim_one(store)
    assert [thread.thread_id for thread in await store.list_threads(TENANT, Page(ALL))] == ["t"]
    assert (await store.get_thread(TENANT, "t")).states[MessageState.PROCESSING] == 1
    assert [m.id for m in await thread_messages(store, "t")] == [m.id for m in behind]
    assert len(await log(store, in_thread.message_id)) == 4
    clock.advance(LEASE_SECONDS + 1)
    assert await store.rescue() == 2
    for message in (*behind, lone):
        await store.cancel(TENANT, message.id)
    assert len(await store.list_workers()) == 1
    clock.advance(10)
    assert (await store.prune_logs(older_than_seconds=1, limit=ALL))[0] == 4
    assert (await store.prune_messages(older_than_seconds=1, limit=ALL))[0] == 4
    await store.prune_workers(silent_for_seconds=1)
    assert await store.list_threads(TENANT, Page(ALL)) == []
    await use_control(store, clock)
    assert await store.list_threads(TENANT, Page(ALL)) == []
    await store.ping()


async def use_control(store: PostgresStore, clock: ManualClock) -> None:
    """All that operators and humans can do; nothing is left."""
    failing = await start(store, webhook_url="https://example.com/")
    await store.finish(failing, RETRIED)
    clock.advance(10)
    await store.promote()
    await store.finish(await claim_one(store), FAILED)
    (taken,) = await store.claim_deliveries(1, lease_seconds=60)
    tried = DeliveryAttempt(at=taken.created_at, status=500, error="It broke.")
    assert await store.settle_delivery(taken, tried, next_in=60)
    await store.replay_delivery(TENANT, taken.id)
    (delivery,) = await store.list_deliveries(TENANT, failing.message_id)
    assert delivery.attempts == (tried,)
    assert len((await store.list_attempts(TENANT, [failing.message_id]))[failing.message_id]) == 2
    for states in (None, frozenset({MessageState.FAILED})):
        chosen = MessageFilter(states=states, error_code=FAILED.code)
        assert [m.id for m in await store.list_messages(TENANT, chosen, Page(ALL))] == [failing.message_id]
    assert [kind.count for kind in await store.group_dead_letters(TENANT, limit=1)] == [1]
    await store.requeue(TENANT, [failing.message_id])
    await store.reprioritize(TENANT, failing.message_id, HIGH)
    await store.pause(paused=True)
    assert (await store.throughput()).paused
    await store.pause(paused=False)
    await store.finish(await claim_one(store), INTERRUPTED)
    asking = await store.get(TENANT, failing.message_id)
    key = request_key(asking.id)
    assert not (await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=key)).replayed
    assert (await store.resume(TENANT, asking.id, asking.fence, ANSWER, key=key)).replayed
    await store.finish(await claim_one(store), INTERRUPTED)
    clock.advance(INTERRUPTED.ttl_seconds)
    assert await store.expire_interrupts() == 1
    await store.purge(TENANT, [asking.id])
    running = await start(store, thread="control")
    (behind,) = await add_all(
        store, new(thread="control", if_busy=IfBusy.ROLLBACK), key=request_key(running.message_id)
    )
    head = await store.get_head(TENANT, "control")
    assert head is not None
    assert behind.rollback == (head.id,)
    await store.cancel(TENANT, behind.id)
    await store.finish(running, DONE)
    await store.prune_keys()
    await store.prune_messages(older_than_seconds=-1, limit=ALL)
