"""The PostgreSQL store when the server, the network or a neighbour fails: the truth is told, and work goes on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.errors import CommitUnknown, LeaseLost, StoreUnavailable
from app.models.attempts import Lease
from app.models.messages import MessageState, Page
from app.store.postgres import connection as postgres_connection
from app.store.postgres import session as postgres_session
from app.store.postgres.connection import connection_parameters
from app.store.postgres.session import Session
from app.store.postgres.store import PostgresStore
from app.store.postgres.watchdog import Watchdog
from app.store.sql.named_sql import load_queries
from tests.clock import ManualClock
from tests.contract.builders import (
    ALL,
    DONE,
    LEASE_SECONDS,
    TENANT,
    add,
    beat,
    chunk,
    claim_one,
    event_types,
    start,
    thread_messages,
    worker,
)
from tests.postgres_server import database_of, shared_server
from tests.servers import until
from tests.unit.postgres_tools import Wire, ask, connected, opened, refused, tell, wire_to

BACK_SECONDS = 5.0
"""Within this after the server is back, work goes on."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_of(tmp_path)


@pytest.fixture
async def store(url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    async with opened(url, clock) as postgres:
        yield postgres


# The answer to a commit is lost


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wire_to(shared_server().port) as cut:
        yield cut


@pytest.fixture
async def wired(url: str, wire: Wire, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    """A store that reaches the server by a wire that can be cut."""
    async with opened(url.replace(f":{shared_server().port}/", f":{wire.port}/"), clock) as store:
        yield store


class Once:
    """True of the first data that hold the sign."""

    def __init__(self, sign: bytes) -> None:
        self._sign = sign
        self._seen = False

    def __call__(self, data: bytes) -> bool:
        if self._seen or self._sign not in data:
            return False
        self._seen = True
        return True


COMMIT_REQUEST = b"COMMIT\0"
COMMIT_ANSWER = b"C\0\0\0\x0bCOMMIT\0"


async def test_a_commit_whose_answer_is_lost_is_told_as_done(wired: PostgresStore, wire: Wire, url: str) -> None:
    wire.cut_answer = Once(COMMIT_ANSWER)
    messages = await asyncio.gather(*(add(wired, thread="t") for _ in range(5)))
    assert wire.cuts == 1
    assert [message.id for message in await thread_messages(wired, "t")] == [message.id for message in messages]


async def test_a_commit_that_does_not_arrive_is_told_as_not_done(wired: PostgresStore, wire: Wire, url: str) -> None:
    wire.cut_request = Once(COMMIT_REQUEST)
    results = await asyncio.gather(*(add(wired, thread="t") for _ in range(5)), return_exceptions=True)
    assert wire.cuts == 1
    assert [type(result) for result in results] == [StoreUnavailable] * 5
    assert ask(url, "SELECT count(*) FROM messages") == 0
    assert (await add(wired, thread="t")).thread_number == 1


async def test_each_change_survives_a_lost_answer(wired: PostgresStore, wire: Wire, clock: ManualClock) -> None:
    message = await add(wired, thread="t")
    wire.cut_answer = Once(COMMIT_ANSWER)
    lease = await claim_one(wired)
    wire.cut_answer = Once(COMMIT_ANSWER)
    assert await wired.append(lease, [chunk(0)]) == 2
    wire.cut_answer = Once(COMMIT_ANSWER)
    await wired.finish(lease, DONE)
    assert wire.cuts == 3
    assert await event_types(wired, message.id) == ["processing", "chunk", "done"]


async def test_a_connection_that_is_lost_between_calls_is_made_anew(wired: PostgresStore, url: str) -> None:
    lease = await start(wired)
    with connected(url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await wired.append(lease, [chunk(0)])
    await wired.finish(lease, DONE)
    assert await event_types(wired, lease.message_id) == ["processing", "chunk", "done"]


async def test_what_cannot_be_found_out_is_not_told_as_not_stored(
    url: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """StoreUnavailable would promise that it is not stored."""
    monkeypatch.setattr(postgres_session, "SETTLE_SECONDS", 0.3)
    async with opened(url.replace(f":{shared_server().port}/", f":{wire.port}/")) as wired:
        await add(wired)

        def cut_for_good(data: bytes) -> bool:
            if COMMIT_ANSWER in data:
                wire.cut_request = lambda _: True
            return COMMIT_ANSWER in data

        wire.cut_answer = cut_for_good
        results = await asyncio.gather(add(wired), add(wired), return_exceptions=True)
        assert [type(result) for result in results] == [CommitUnknown] * 2
        assert not issubclass(CommitUnknown, StoreUnavailable)
        assert ask(url, "SELECT count(*) FROM messages") == 3
        assert wire.cuts >= 2


# Neighbours

QUERIES = load_queries("postgres")
IMPATIENT = """
SELECT pg_backend_pid() FROM set_config('idle_in_transaction_session_timeout', '100ms', TRUE)
"""
IN_TRANSACTION = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions made in this test wait for a lock for a moment only."""
    monkeypatch.setattr(postgres_connection, "SETTINGS", postgres_connection.SETTINGS + "SET lock_timeout = '100ms';")


async def test_locked_rows_refuse_those_who_need_them_and_nobody_else(
    impatient: None, url: str, clock: ManualClock
) -> None:
    async with opened(url, clock) as store:
        lease = await start(store, thread="locked")
        running = await start(store)
        with connected(url) as other, other.transaction():
            other.execute("SELECT 1 FROM threads FOR UPDATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await add(store, thread="locked")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.finish(lease, DONE)
            await add(store)
            await store.append(lease, [chunk(0)])
            assert (await beat(store)).held == {lease.message_id: lease.fence, running.message_id: running.fence}
        await store.finish(lease, DONE)
        assert (await add(store, thread="locked")).thread_number == 2


async def test_a_beat_extends_the_lease_of_a_message_whose_events_are_being_written(
    store: PostgresStore, url: str, clock: ManualClock
) -> None:
    """A write of megabytes may take longer than the lease."""
    lease = await start(store)
    with connected(url) as other, other.transaction():
        other.execute("LOCK TABLE events IN SHARE MODE")  # the append has the lock of its message and waits
        writing = asyncio.create_task(store.append(lease, [chunk(0)]))
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await until(lambda: asyncio.to_thread(ask, url, query), "the append waits")
        clock.advance(LEASE_SECONDS / 2)
        assert (await beat(store)).held == {lease.message_id: lease.fence}
        clock.advance(LEASE_SECONDS / 2)
        assert await store.rescue() == 0
    assert await writing == 2


async def test_a_beat_does_not_wait_for_a_message_that_is_being_ended(
    store: PostgresStore, url: str, clock: ManualClock
) -> None:
    ending, running = await start(store), await start(store)
    with connected(url) as other, other.transaction():
        other.execute("LOCK TABLE events IN SHARE MODE")  # the finish has the lock of its message and waits
        finishing = asyncio.create_task(store.finish(ending, DONE))
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await until(lambda: asyncio.to_thread(ask, url, query), "the finish waits")
        clock.advance(LEASE_SECONDS / 2)
        held = (await asyncio.wait_for(beat(store), 1)).held
        assert held == {each.message_id: each.fence for each in (ending, running)}
        clock.advance(LEASE_SECONDS / 2)
        assert await store.rescue() == 0  # one is being ended, the other was extended
    await finishing
    assert (await beat(store)).held == {running.message_id: running.fence}


async def test_a_worker_cannot_write_while_its_message_is_being_taken_back(
    store: PostgresStore, url: str, clock: ManualClock
) -> None:
    """Its guard was true when it began to look: it has to wait for the rescue, and to look again."""
    lease = await start(store, thread="t")
    with connected(url) as other:
        with other.transaction():
            other.execute("SELECT 1 FROM messages FOR UPDATE")  # as `lock_expired` does
            other.execute("UPDATE messages SET fence = fence + 1, state = 'queued', readiness = 'ready'")
            writing = asyncio.create_task(store.append(lease, [chunk(0)]))
            finishing = asyncio.create_task(store.finish(lease, DONE))

            async def both_wait() -> bool:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return bool(await asyncio.to_thread(ask, url, query + " AND datname = current_database()") == 2)

            await until(both_wait, "the worker waits")
        with pytest.raises(LeaseLost):
            await writing
        with pytest.raises(LeaseLost):
            await finishing
    assert await event_types(store, lease.message_id) == ["processing"]


async def test_ids_of_deleted_threads_are_freed_in_the_order_of_locks(store: PostgresStore, url: str) -> None:
    """A submit for the same threads would otherwise wait for this in a circle."""
    for thread in ("a", "b"):
        await add(store, thread=thread)
        await store.delete_thread(TENANT, thread)
    dropped = await store.list_dropped_memories(ALL)
    lock = "SELECT 1 FROM threads WHERE thread_id = %s FOR UPDATE NOWAIT"
    with connected(url) as other, other.transaction():
        other.execute(lock, ["a"])
        settling = asyncio.create_task(store.settle_dropped_memories(dropped[::-1]))
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await until(lambda: asyncio.to_thread(ask, url, query), "the duty waits")
        other.execute(lock, ["b"])
    await settling
    assert ask(url, "SELECT count(*) FROM threads") == 0


async def test_a_database_that_may_only_be_read_is_unavailable(url: str) -> None:
    """The server acts like one that stands by for another."""
    async with opened(url):
        pass
    name = url.rpartition("/")[2]
    tell(url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert "read-only" in await refused(url, StoreUnavailable)


async def test_a_fence_does_not_come_again_when_a_failover_loses_a_claim(url: str) -> None:
    """The new primary does not have what the old one had not sent it; the worker goes on with what it was told."""
    async with opened(url) as store:
        message = await add(store)
        lost = await claim_one(store, worker="a")
        await store.append(lost, [chunk(0)])
        tell(url, "DELETE FROM events")
        tell(
            url,
            "UPDATE messages SET state = 'queued', readiness = 'ready', attempt = 0, fence = 0, worker_id = NULL, "
            "lease_until = NULL, started_at = NULL",
        )
        held = await claim_one(store, worker="b")
        assert (held.message_id, held.attempt) == (lost.message_id, lost.attempt)
        with pytest.raises(LeaseLost):
            await store.append(lost, [chunk(1)])
        with pytest.raises(LeaseLost):
            await store.finish(lost, DONE)
        assert await event_types(store, message.id) == ["processing"]
        await store.finish(held, DONE)
        with pytest.raises(LeaseLost):
            await store.finish(lost, DONE)


async def test_a_url_may_ask_for_any_server(url: str) -> None:
    name = url.rpartition("/")[2]
    async with opened(url) as store:
        message = await add(store)
    tell(url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    async with opened(f"{url}?target_session_attrs=any") as store:
        assert await store.get(TENANT, message.id) == message
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            await add(store)
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            await store.ping()


async def test_a_transaction_that_the_server_gives_up_is_unavailable(url: str) -> None:
    """A process that is stopped for a while in the middle of one."""
    session = Session(connection_parameters(url), {"impatient": IMPATIENT, **QUERIES}, Watchdog())
    ended = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = "

    async def stop_in_the_middle() -> None:
        with session.transaction():
            [(backend,)] = session.rows("impatient")
            await until(lambda: ask(url, f"{ended}{backend}"), "the server ended it")
            session.rows("read_clock")

    with pytest.raises(StoreUnavailable):
        await stop_in_the_middle()
    session.close()


async def test_a_statement_that_takes_too_long_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = postgres_connection.SETTINGS + "SET statement_timeout = '100ms'; SET lock_timeout = 0;"
    monkeypatch.setattr(postgres_connection, "SETTINGS", settings)
    async with opened(url) as store:
        await add(store, thread="t")
        with connected(url) as other, other.transaction():
            other.execute("SELECT 1 FROM threads FOR UPDATE")
            with pytest.raises(StoreUnavailable, match="statement timeout"):
                await add(store, thread="t")
        assert (await add(store, thread="t")).thread_number == 2


async def test_what_cannot_be_sent_leaves_every_connection_clean(store: PostgresStore, url: str) -> None:
    lease = await start(store)
    odd = lease._replace(message_id="\ud800")
    for call in (store.append(odd, [chunk(0)]), store.finish(odd, DONE), store.cancel(TENANT, "\ud800")):
        with pytest.raises(UnicodeEncodeError):
            await call
    assert ask(url, IN_TRANSACTION) == 0
    await store.append(lease, [chunk(0)])
    await store.finish(lease, DONE)


async def test_callers_that_are_cancelled_leave_every_connection_clean(store: PostgresStore, url: str) -> None:
    for _ in range(5):
        calls = [asyncio.create_task(add(store, thread=f"t{number % 3}")) for number in range(20)]
        calls += [asyncio.create_task(store.summary(TENANT, limit=5)) for _ in range(5)]  # type: ignore[arg-type]  # tasks of several results
        await asyncio.sleep(0.001)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await add(store)
    await store.ping()
    await store.summary(TENANT, limit=5)  # each lane has done by now what was cancelled
    assert ask(url, IN_TRANSACTION) == 0


async def test_changes_of_shared_threads_never_deadlock(url: str, clock: ManualClock) -> None:
    """Adds, claims, finishes, cancels, rescues and beats of two processes, on the same few threads."""
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = ask(url, deadlocks)
    async with opened(url, clock) as first, opened(url, clock) as second:
        stores = (first, second)
        ended: set[str] = set()

        async def produce(store: PostgresStore) -> None:
            for _ in range(15):
                added = await asyncio.gather(*(add(store, thread=f"t{number}") for number in (3, 1, 2, 0, 1)))
                await asyncio.gather(*(store.cancel(TENANT, m.id) for m in added[::2]), return_exceptions=True)

        async def consume(store: PostgresStore, name: str) -> None:
            for _ in range(25):
                claims = await store.claim(name, ["chat"], 3, lease_seconds=LEASE_SECONDS)
                leases = [each.lease for each in claims]
                calls = [*(store.append(lease, [chunk(0)]) for lease in leases), store.rescue()]
                await asyncio.gather(*calls, asyncio.to_thread(beats, store, name, leases))
                await asyncio.gather(*(store.finish(lease, DONE) for lease in reversed(leases)))
                ended.update(lease.message_id for lease in leases)

        def beats(store: PostgresStore, name: str, leases: list[Lease]) -> None:
            with store.open_lease_renewer() as renewer:
                renewer.beat(worker(name), leases, lease_seconds=LEASE_SECONDS)

        work = [produce(store) for store in stores for _ in range(2)]
        await asyncio.gather(*work, *(consume(store, f"w{number}") for number, store in enumerate(stores)))
        totals = (await first.summary(TENANT, limit=1)).totals
        assert totals[MessageState.COMPLETED] == len(ended)
        assert sum(totals.values()) == ask(url, "SELECT count(*) FROM messages") == 300
        for thread in await first.list_threads(TENANT, Page(ALL)):
            messages = await thread_messages(first, thread.thread_id)
            assert thread.states == {state: sum(m.state is state for m in messages) for state in MessageState}
        assert ask(url, deadlocks) == before
