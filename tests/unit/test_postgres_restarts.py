"""The PostgreSQL store when its server crashes, hangs, is started again, or takes no writes."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from app.errors import CommitUnknown, StoreUnavailable
from app.models.messages import Message, MessageState
from app.store.postgres import connection as postgres_connection
from app.store.postgres import session as postgres_session
from app.store.postgres import watchdog
from app.store.postgres.store import PostgresStore
from tests.contract.builders import DONE, TENANT, add, chunk, claim_one, event_types, start, thread_messages, worker
from tests.postgres_server import VOLATILE, PostgresServer
from tests.servers import until
from tests.unit.postgres_tools import ask, opened, tell
from tests.unit.test_postgres_faults import BACK_SECONDS

# The server restarts


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with PostgresServer(*VOLATILE) as server:
        yield server


async def test_a_crash_of_the_server_loses_nothing_that_was_told_as_stored(own_server: PostgresServer) -> None:
    url = own_server.make_database("queue")
    stored: list[Message] = []
    leaving = asyncio.Event()

    async def add_for_ever(store: PostgresStore, thread: str) -> None:
        while not leaving.is_set():
            try:
                stored.append(await add(store, thread=thread))
            except StoreUnavailable:
                await asyncio.sleep(0.01)

    async with opened(url) as store:
        adding = [asyncio.create_task(add_for_ever(store, f"t{number}")) for number in range(8)]
        for _ in range(3):
            before = len(stored)
            await until(lambda before=before: len(stored) > before + 50, "messages are stored")  # type: ignore[misc]  # the default binds the loop's value
            await asyncio.to_thread(own_server.kill)
            await asyncio.to_thread(own_server.start)
            back, after = time.monotonic(), len(stored)
            await until(lambda after=after: len(stored) > after + 8, "work goes on", BACK_SECONDS)  # type: ignore[misc]  # the default binds the loop's value
            assert time.monotonic() - back < BACK_SECONDS
        leaving.set()
        await asyncio.gather(*adding)
        kept = [m.id for number in range(8) for m in await thread_messages(store, f"t{number}")]
        assert sorted(kept) == sorted(message.id for message in stored), "told as stored and stored are not the same"
        assert (await store.summary(TENANT, limit=1)).totals[MessageState.QUEUED] == len(stored)


async def test_all_kinds_of_work_go_on_after_a_restart(own_server: PostgresServer) -> None:
    async with opened(own_server.make_database("queue")) as store:
        lease = await start(store, thread="t")
        await store.append(lease, [chunk(0)])
        with store.open_lease_renewer() as renewer:
            renewer.beat(worker(), [lease], lease_seconds=60)
            await asyncio.to_thread(own_server.stop)
            for call in (store.ping(), add(store), store.append(lease, [chunk(1)]), store.finish(lease, DONE)):
                with pytest.raises(StoreUnavailable, match="cannot be used"):
                    await call
            with pytest.raises(StoreUnavailable):
                renewer.beat(worker(), [lease], lease_seconds=60)
            await asyncio.to_thread(own_server.start)
            assert renewer.beat(worker(), [lease], lease_seconds=60).held == {lease.message_id: lease.fence}
        await store.ping()
        assert await store.append(lease, [chunk(1)]) == 3
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "chunk", "done"]
        assert await store.rescue() == 0


# The server hangs


@pytest.fixture
def alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are waited for a moment only, and lost commits are looked for briefly."""
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(watchdog, "EXCHANGE_SECONDS", 1)
    monkeypatch.setattr(postgres_session, "SETTLE_SECONDS", 0.5)
    monkeypatch.setitem(postgres_connection.DEFAULTS, "connect_timeout", "2")


async def test_a_server_that_hangs_leaves_nobody_waiting(alert: None, own_server: PostgresServer) -> None:
    async with opened(own_server.make_database("queue")) as store:
        lease = await start(store, thread="t")
        await store.append(lease, [chunk(0)])
        await store.ping()
        with store.open_lease_renewer() as renewer:
            renewer.beat(worker(), [lease], lease_seconds=60)
            own_server.freeze()
            calls = (
                store.ping(), add(store), store.append(lease, [chunk(1)]), store.cancel(TENANT, "m"),
                store.finish(lease, DONE), asyncio.to_thread(renewer.beat, worker(), [lease], lease_seconds=60),
            )  # fmt: skip
            results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
            assert [type(result) for result in results] == [StoreUnavailable] * len(calls)
            own_server.thaw()
            assert renewer.beat(worker(), [lease], lease_seconds=60).held == {lease.message_id: lease.fence}
        await store.finish(lease, DONE)
        assert await event_types(store, lease.message_id) == ["processing", "chunk", "done"]


async def test_a_store_can_be_closed_while_the_server_hangs(alert: None, own_server: PostgresServer) -> None:
    async with opened(own_server.make_database("queue")) as store:
        await add(store)
        own_server.freeze()
        adding = asyncio.create_task(add(store))
        await asyncio.sleep(0)
        await asyncio.wait_for(store.close(), 30)
        assert isinstance(adding.exception(), StoreUnavailable)


async def test_a_commit_that_hangs_is_settled_or_told_as_unknown(alert: None, own_server: PostgresServer) -> None:
    """The server commits like one whose synchronous standby is away."""
    url = own_server.make_database("queue")
    async with opened(url) as store:
        await add(store)
        tell(url, "ALTER SYSTEM SET synchronous_standby_names = 'away'")
        tell(url, "SELECT pg_reload_conf()")
        await until(lambda: ask(url, "SHOW synchronous_standby_names") == "away", "it waits for the standby")
        with pytest.raises(CommitUnknown):
            await asyncio.wait_for(add(store), 30)
        tell(url, "ALTER SYSTEM RESET synchronous_standby_names")
        tell(url, "SELECT pg_reload_conf()")
        await until(lambda: ask(url, "SHOW synchronous_standby_names") == "", "it waits no more")
        await asyncio.wait_for(add(store), 30)


async def test_a_server_that_takes_no_writes_is_left(own_server: PostgresServer) -> None:
    """The old primary after a failover keeps nobody with what it still answers."""
    url = own_server.make_database("queue")
    async with opened(url) as store:
        message = await add(store)
        lease = await claim_one(store)
        await store.append(lease, [chunk(0)])
        with store.open_lease_renewer() as renewer:
            renewer.beat(worker(), [lease], lease_seconds=60)
            tell(url, "ALTER SYSTEM SET default_transaction_read_only = on")
            tell(url, "SELECT pg_reload_conf()")
            await until(lambda: ask(url, "SHOW default_transaction_read_only") == "on", "it takes no writes")
            for told in (None, "cannot be used"):  # on the connection of before, and where there is none
                for call in (store.ping(), add(store), store.append(lease, [chunk(1)]), store.finish(lease, DONE)):
                    with pytest.raises(StoreUnavailable, match=told):
                        await call
                with pytest.raises(StoreUnavailable, match=told):
                    renewer.beat(worker(), [lease], lease_seconds=60)
            tell(url, "ALTER SYSTEM RESET default_transaction_read_only")
            tell(url, "SELECT pg_reload_conf()")
            await until(lambda: ask(url, "SHOW default_transaction_read_only") == "off", "it takes writes again")
            assert renewer.beat(worker(), [lease], lease_seconds=60).held == {lease.message_id: lease.fence}
        await store.ping()
        await store.append(lease, [chunk(1)])
        await store.finish(lease, DONE)
        assert await event_types(store, message.id) == ["processing", "chunk", "chunk", "done"]
