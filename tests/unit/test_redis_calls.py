"""Requests that came together are one call to the Redis or Valkey server, and each is as if it were alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.clock import to_milliseconds
from app.errors import KeyReused, MessageNotFound, QueueFull, StoreError, ThreadBusy
from app.models.messages import Accepted, IfBusy, NewMessage, Priority, RequestKey
from app.models.statistics import MINUTE, FigureQuery, Metric
from app.models.threads import NewThread
from app.policy.statistics_reports import begin_of
from app.store.redis.command_pipeline import MAX_CALL
from app.store.redis.store import RedisStore
from tests.contract.builders import DONE, TENANT, add, chunk, claim, claimed_ids, event_types, listed, new
from tests.proxy import Moment
from tests.unit.redis_tools import opened, proxied
from tests.valkey_server import shared_server

CUTS = [Moment.BEFORE_THE_COMMAND, Moment.BEFORE_THE_ANSWER, Moment.IN_THE_ANSWER]


@pytest.fixture
def admin() -> Iterator[redis.Redis]:
    """A client of the shared server that is not ours."""
    client = redis.Redis.from_url(shared_server().url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RedisStore]:
    """On the shared server, whose own clock decides."""
    async with opened(RedisStore(shared_server().url, prefix=str(tmp_path))) as store:
        yield store


def calls(admin: redis.Redis, command: str = "evalsha") -> int:
    """How many the server has answered."""
    stats: Any = admin.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def together(
    store: RedisStore, *news: NewMessage, key: RequestKey | None = None
) -> list[Accepted | BaseException]:
    """Return the results of requests of one message each."""
    requests = (store.add([each], max_queued=1_000, key=key) for each in news)
    return await asyncio.gather(*requests, return_exceptions=True)


async def test_a_call_has_what_came_together_but_not_too_much(store: RedisStore, admin: redis.Redis) -> None:
    before = calls(admin)
    await together(store, *(new() for _ in range(2 * MAX_CALL)))
    assert calls(admin) == before + 2


async def test_operations_with_long_lists_are_calls_of_their_own(store: RedisStore, admin: redis.Redis) -> None:
    before = calls(admin)
    unknown = [[f"{number}-{place}" for place in range(1_000)] for number in range(3)]
    refused = await asyncio.gather(*(store.purge(TENANT, ids) for ids in unknown), return_exceptions=True)
    assert all(isinstance(each, MessageNotFound) for each in refused)
    assert calls(admin) == before + 3


async def test_figures_of_all_tenants_are_read_where_there_are_some(store: RedisStore, admin: redis.Redis) -> None:
    for tenant in ("a", "b", "c"):
        await store.add([new(tenant=tenant)], max_queued=1_000)
    await store.fold_figures(records_seconds=60)
    end = begin_of(to_milliseconds(store.now()), MINUTE) + MINUTE * 1000
    query = FigureQuery((Metric.ACCEPTED,), MINUTE, end - 1_500 * MINUTE * 1000, end)
    before = calls(admin, "hgetall")
    assert sum(figure.value for figure in await store.read_figures(None, query)) == 3
    assert calls(admin, "hgetall") - before <= 3


async def test_what_one_request_stores_the_next_one_of_its_call_sees(store: RedisStore) -> None:
    news = [new(thread="t"), new(), new(thread="t"), new()]
    accepted = [each.messages[0] for each in await together(store, *news) if isinstance(each, Accepted)]
    assert [message.thread_number for message in accepted] == [1, 0, 2, 0]
    assert [message.number for message in accepted] == sorted({message.number for message in accepted})
    assert [message.queue_position for message in accepted] == [0, 1, 2, 3]


async def test_what_came_together_waits_for_its_own_agent_and_tenant(store: RedisStore) -> None:
    urgent = new("urgent", priority=Priority.HIGH)
    news = [new("first"), new("other agent", agent="other"), new("other tenant", tenant="theirs"), urgent]
    accepted = [each.messages[0] for each in await together(store, *news) if isinstance(each, Accepted)]
    assert [message.queue_position for message in accepted] == [1, 3, 2, 0]  # tenants take turns
    assert sorted(await listed(store)) == sorted(each.id for each in (news[0], news[1], urgent))
    assert [message.id for message in (await store.summary("theirs", limit=9)).queued] == [news[2].id]
    assert await claimed_ids(store, agents=["other"]) == [news[1].id]
    assert await claimed_ids(store) == [urgent.id, news[0].id, news[2].id]


async def test_a_limit_counts_what_came_in_the_same_call(store: RedisStore, admin: redis.Redis, tmp_path: Path) -> None:
    admin.set(f"{{{tmp_path}}}:thread:{len(TENANT)}:{TENANT}:foreign", "of another program")
    told = await asyncio.gather(
        *(store.add([each], max_queued=2) for each in (new(), new(thread="foreign"), new(), new())),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in told] == ["Accepted", "StoreIncompatible", "Accepted", "QueueFull"]


async def test_a_request_that_is_refused_leaves_those_beside_it_alone(store: RedisStore) -> None:
    taken = new("taken")
    key = RequestKey(TENANT, "a key", "a request")
    await store.add([taken], max_queued=1_000, key=key)
    first, busy, last = new("first", thread="t"), new(thread="t", if_busy=IfBusy.REJECT), new("last")
    told = await asyncio.gather(
        store.add([first], max_queued=1_000),
        store.add([busy], max_queued=1_000),
        store.add([taken._replace(content="twice")], max_queued=1_000),
        store.add([new(), new()], max_queued=3),
        store.add([new()], max_queued=1_000, key=key._replace(fingerprint="another")),
        store.add([last], max_queued=1_000),
        return_exceptions=True,
    )
    assert [type(each) for each in told] == [Accepted, ThreadBusy, StoreError, QueueFull, KeyReused, Accepted]
    assert sorted(await listed(store)) == sorted([taken.id, first.id, last.id])


async def test_a_key_that_came_twice_in_one_call_is_accepted_once(store: RedisStore) -> None:
    told = await together(store, new("a"), new("a"), key=RequestKey(TENANT, "a key", "a request"))
    assert [isinstance(each, Accepted) and each.replayed for each in told] == [False, True]
    assert len(await listed(store)) == 1


async def test_a_request_that_breaks_leaves_those_beside_it_alone(
    store: RedisStore, admin: redis.Redis, tmp_path: Path
) -> None:
    admin.set(f"{{{tmp_path}}}:thread:{len(TENANT)}:{TENANT}:foreign", "of another program")
    before, after = new("before"), new("after")
    told = await together(store, before, new(thread="foreign"), after)
    assert [type(each).__name__ for each in told] == ["Accepted", "StoreIncompatible", "Accepted"]
    assert await listed(store) == [after.id, before.id]


@pytest.mark.parametrize("moment", CUTS, ids=lambda moment: moment.value)
async def test_a_call_whose_answer_was_lost_is_done_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        news = [new(str(number), thread="t" if number % 3 else None) for number in range(100)]
        proxy.cut = moment
        told = await together(store, *news, new(thread="t", if_busy=IfBusy.REJECT))
        assert proxy.cuts == 1
        assert isinstance(told.pop(), ThreadBusy)
        accepted = [message for each in told if isinstance(each, Accepted) for message in each.messages]
        assert [message.id for message in accepted] == [each.id for each in news]
        assert [message.queue_position for message in accepted] == list(range(100))
        assert sorted(await listed(store)) == sorted(each.id for each in news)


@pytest.mark.parametrize("moment", CUTS, ids=lambda moment: moment.value)
async def test_attempts_whose_calls_were_cut_write_and_end_once(tmp_path: Path, moment: Moment) -> None:
    async with proxied(tmp_path) as (store, proxy):
        ids = [(await add(store)).id for _ in range(20)]
        proxy.plan = iter([moment, None] * 4)
        claims = [each for some in await asyncio.gather(*(claim(store, 5) for _ in range(4))) for each in some]
        assert [each.message.id for each in claims] == ids
        assert await asyncio.gather(*(store.append(each.lease, [chunk(0)]) for each in claims)) == [2] * 20
        await asyncio.gather(*(store.finish(each.lease, DONE) for each in claims))
        assert proxy.cuts >= 2
        for message_id in ids:
            assert await event_types(store, message_id) == ["processing", "chunk", "done"]


async def test_a_script_passes_a_limited_number_of_threads_that_do_not_expire(
    store: RedisStore, admin: redis.Redis
) -> None:
    """Each has a TTL of its own, so the search for threads that expire by the server's TTL passes it."""
    threads = [NewThread(None, ttl=60.0)] * 1_100
    await asyncio.gather(*(store.create_thread(TENANT, f"{number}", each) for number, each in enumerate(threads)))
    before = calls(admin, "hexists")
    found, following = await store._writes.run("expire_threads", store._now() + 1, 1, 100, "", 0)
    assert (found, following[0]) == ([], TENANT)
    assert calls(admin, "hexists") - before == following[1] < 700


async def test_a_script_counts_changes_up_to_a_size(store: RedisStore) -> None:
    """An entry has all changes of one call, and the server does nothing else while a script counts them."""
    for _ in range(12):
        await store.add([new() for _ in range(500)], max_queued=10_000)
    _, _, count, more, *_ = await store._reads.run("list_unfolded", 200)
    assert (4 <= count < 12, more) == (True, 1)
    assert await store.fold_figures(records_seconds=60.0) == 12
    end = begin_of(to_milliseconds(store.now()), MINUTE) + MINUTE * 1000
    query = FigureQuery((Metric.ACCEPTED,), MINUTE, end - 10 * MINUTE * 1000, end)
    assert sum(figure.value for figure in await store.read_figures(TENANT, query)) == 6_000
