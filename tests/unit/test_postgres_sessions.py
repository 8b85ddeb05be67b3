"""Sessions of PostgreSQL: our settings hold whatever others have set, and each connection has a session of its own."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from app.checkpoints.factory import open_saver
from app.errors import (
    ConfigurationError,
    MessageNotFound,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TooFewConnections,
)
from app.models.events import NewEvent
from app.startup import check_memory
from app.store.postgres.connection import connection_parameters
from app.store.postgres.migrations import check_access
from app.store.postgres.session import Session
from app.store.postgres.watchdog import Watchdog
from app.store.sql.named_sql import load_queries
from tests.contract.builders import DONE, RETRIED, TENANT, add, beat, chunk, claim_one, event_types, log, start
from tests.contract.saver_calls import QUEUE, latest, put
from tests.pooler import pooler
from tests.postgres_server import database_of, shared_server
from tests.servers import settings_for
from tests.unit.postgres_tools import ask, opened, refused

HOSTILE = {
    "datestyle": "'SQL, DMY'",
    "intervalstyle": "'sql_standard'",
    "timezone": "'Pacific/Kiritimati'",
    "search_path": "'information_schema, public'",
    "statement_timeout": "'60ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    "idle_session_timeout": "'300ms'",
    "transaction_timeout": "'300ms'",
    "client_encoding": "'LATIN1'",
    "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on",
    "bytea_output": "'escape'",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "enable_indexscan": "off",
    "plan_cache_mode": "'force_custom_plan'",
}
"""Settings that a role, a database or the environment may have, and no session of ours may keep."""

TEXT = "NULL 👍🏽 \\ 'quoted' é"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture(params=["database", "role", "environment"])
def hostile(request: pytest.FixtureRequest, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database where others have set everything otherwise."""
    server, database = shared_server(), url.rpartition("/")[2]
    known = {name for (name,) in server.execute("SELECT name FROM pg_settings")}
    settings = {name: value for name, value in HOSTILE.items() if name in known}
    if request.param == "database":
        for name, value in settings.items():
            server.execute(f"ALTER DATABASE {database} SET {name} = {value}")
        yield url
        server.execute(f"ALTER DATABASE {database} RESET ALL")
        return
    server.execute("DROP ROLE IF EXISTS hostile")
    server.execute("CREATE ROLE hostile LOGIN SUPERUSER")
    if request.param == "role":
        for name, value in settings.items():
            server.execute(f"ALTER ROLE hostile SET {name} = {value}")
    else:
        given = {name: value.strip("'").replace(" ", "\\ ") for name, value in settings.items()}
        monkeypatch.setenv("PGOPTIONS", " ".join(f"-c {name}={value}" for name, value in given.items()))
    yield url.replace("postgres@", "hostile@")
    monkeypatch.delenv("PGOPTIONS", raising=False)
    server.execute("DROP SCHEMA IF EXISTS agent_queue, agent_queue_memory CASCADE", database)
    server.execute("DROP ROLE hostile")


async def test_a_message_lives_whatever_others_have_set(hostile: str) -> None:
    async with opened(hostile) as store:
        await add(store, TEXT, thread="t")
        lease = await claim_one(store)
        await store.append(lease, [NewEvent.chunk("content", TEXT, 0), chunk(1)])
        assert (await beat(store)).held == {lease.message_id: lease.fence}
        await store.finish(lease, RETRIED)
        behind = await add(store, thread="t")
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "chunk", "retry"]
        assert (await store.get(TENANT, lease.message_id)).content == TEXT
        assert TEXT.encode("unicode_escape").decode()[:4] in (await log(store, lease.message_id))[1].data
        assert (await store.get(TENANT, behind.id)).thread_number == 2
        alone = await start(store)
        await store.finish(alone, DONE)
        assert (await store.get(TENANT, alone.message_id)).result == DONE.result
        await store.ping()


async def test_agents_remember_whatever_others_have_set(hostile: str) -> None:
    async with open_saver(hostile, QUEUE) as saver:
        saved = await put(saver, (1, 1), messages=TEXT)
        assert await latest(saver) == saved["id"]
        await saver.ping()


# Prepared statements

QUERIES = {
    **load_queries("postgres"),
    "one": "SELECT 1",
    "fault": "SELECT 1 / 0",
    "times": "SELECT prepare_time FROM pg_prepared_statements WHERE statement = 'SELECT 1'",
    "faults": "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1 / 0'",
}


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    found = Session(connection_parameters(url), QUERIES, Watchdog())
    found.open()
    yield found
    found.close()


def changes_nothing(session: Session) -> None:
    with session.transaction():
        assert session.value("one") == 1
        session.discard()


def reads(session: Session) -> None:
    with session.snapshot():
        assert session.value("one") == 1
    session.end_snapshot()


def finds_nothing(session: Session) -> None:
    with suppress(MessageNotFound), session.transaction():
        assert session.value("one") == 1
        raise MessageNotFound("m1")


@pytest.mark.parametrize("work", [changes_nothing, reads, finds_nothing])
def test_what_is_rolled_back_without_a_fault_leaves_what_the_server_has_planned(
    session: Session, work: Callable[[Session], None]
) -> None:
    work(session)
    times = session.rows("times")
    work(session)
    assert session.rows("times") == times != []


def test_a_failed_statement_leaves_none_that_the_driver_has_forgotten(session: Session) -> None:
    for _ in range(3):
        with pytest.raises(StoreError), session.transaction():
            session.value("fault")
    reads(session)
    assert session.value("faults") == 0


# Poolers


async def test_a_pool_of_transactions_is_refused_with_its_cure(url: str, tmp_path: Path) -> None:
    database = url.rpartition("/")[2]
    with pooler(shared_server().port, database, by_transaction=True) as pooled:
        told = await refused(pooled, ConfigurationError)
        with pytest.raises(ConfigurationError, match=r"CHECKPOINT_URL: .* pool_mode=session"):
            await check_memory(settings_for(tmp_path, checkpoint_url=pooled))
    assert "pool_mode=session" in told
    assert ask(url, "SELECT to_regnamespace('agent_queue')") is None  # nothing of it was changed


async def test_a_pool_of_sessions_is_used(url: str) -> None:
    database = url.rpartition("/")[2]
    with pooler(shared_server().port, database, by_transaction=False) as pooled:
        async with opened(pooled) as store:
            lease = await start(store)
            await store.append(lease, [chunk(0)])
            await store.finish(lease, DONE)
            assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]


# What is waited for at a start


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("FATAL:  the database system is starting up", StoreUnavailable),
        ("FATAL:  the database system is not yet accepting connections", StoreUnavailable),
        ("connection refused", StoreUnavailable),
        ('could not translate host name "db" to address: Name or service not known', StoreUnavailable),
        ("server closed the connection unexpectedly", StoreUnavailable),
        ("FATAL:  sorry, too many clients already", TooFewConnections),
        ('FATAL:  too many connections for role "app"', TooFewConnections),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", TooFewConnections),
        ('FATAL:  password authentication failed for user "app"', StoreRefused),
        ('FATAL:  database "app" does not exist', StoreRefused),
        ('FATAL:  role "app" is not permitted to log in', StoreRefused),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', StoreRefused),
        ("server does not support SSL, but SSL was required", StoreRefused),
        ("SSL error: certificate verify failed", StoreRefused),
    ],
)
def test_what_the_server_says_decides_whether_it_is_waited_for(
    said: str, kind: type[StoreUnavailable], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg, "connect", fail)
    with pytest.raises(StoreUnavailable) as raised:
        check_access(connection_parameters("postgresql://db/queue"))
    assert type(raised.value) is kind
