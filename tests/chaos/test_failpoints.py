"""Crashes at exact spots, and a process that is stopped while it has the database locked."""

import asyncio
import functools
import os
import re
import signal
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import httpx2
import pytest

from app import maintenance
from app.checkpoints.factory import checkpoint_url, open_saver
from app.config import Settings
from app.models.messages import DEFAULT_TENANT, Message
from app.store.factory import make_store
from app.store.parts import CLEARED_AT_ONCE
from app.store.sqlite.accept import AcceptWrites
from tests.chaos import failpoints
from tests.chaos.agent import FAIL
from tests.chaos.backends import BACKENDS
from tests.chaos.clients import Clients
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.history import RECITE, History, Reply, Stored, check, last_text
from tests.chaos.processes import untouched
from tests.chaos.run import collect
from tests.servers import until

SIGNED = re.compile(r"\[(\w+) (\w+)\.\d+/")
WORKER_SPOTS = {
    "after_claim_commit": (2, [("plan", "healthy"), ("answer", "healthy")]),
    "between_checkpoint_and_event": (2, [("plan", "doomed"), ("answer", "healthy")]),
    "before_finish": (2, [("plan", "doomed"), ("answer", "doomed")]),
    "after_finish_commit": (1, [("plan", "doomed"), ("answer", "doomed")]),
}
"""How many attempts there are in the end, and whose text each node's is."""


@pytest.fixture(params=BACKENDS)
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(request.param, tmp_path) as started:
        yield started


async def submit(clients: Clients, content: str) -> str | None:
    return await clients.submit(content, "t", random=Random(0), agent="brief")


async def end_of(clients: Clients) -> Stored:
    """Return what is stored when all is done, after checking it."""
    stored = await collect(clients)
    assert check(History(clients.seen, stored)) == []
    return stored


@pytest.mark.parametrize("spot", WORKER_SPOTS)
async def test_a_worker_that_dies_at_this_spot_breaks_nothing(running: Cluster, spot: str) -> None:
    api = running.add("api", "api", slots=0)
    doomed = running.add("worker", "doomed", slots=1, tamper=functools.partial(failpoints.arm, spot))
    clients = Clients([api.url], spot)
    try:
        await clients.answered_by(api)
        first, second = await submit(clients, "first"), await submit(clients, "second")
        assert await doomed.gone() == failpoints.EXIT_CODE
        running.add("worker", "healthy", slots=1)
        stored = await end_of(clients)
    finally:
        await clients.close()
    assert [first, second] == stored.threads["t"][:2]
    assert first is not None
    attempts, signed = WORKER_SPOTS[spot]
    assert stored.messages[first]["attempt"] == attempts
    assert SIGNED.findall(last_text(stored.logs[first])) == signed
    assert {stored.messages[i]["state"] for i in stored.threads["t"]} == {"completed"}


@pytest.mark.parametrize("spot", failpoints.PRUNING_SPOTS)
async def test_a_worker_that_dies_while_a_turn_is_pruned_breaks_no_memory(running: Cluster, spot: str) -> None:
    """`RECITE` at the end checks that the conversation is whole. With a short history, the second turn prunes."""
    api = running.add("api", "api", slots=0)
    armed = functools.partial(failpoints.arm, spot)
    doomed = running.add("worker", "doomed", slots=1, tamper=armed, CHECKPOINT_HISTORY="1")
    clients = Clients([api.url], spot)
    try:
        await clients.answered_by(api)
        first, second = await submit(clients, "first"), await submit(clients, "second")
        assert await doomed.gone() == failpoints.EXIT_CODE
        running.add("worker", "healthy", slots=1)
        stored = await end_of(clients)
    finally:
        await clients.close()
    assert first is not None
    assert second is not None
    assert [stored.messages[each]["attempt"] for each in (first, second)] == [1, 2]
    assert SIGNED.findall(last_text(stored.logs[second])) == [("plan", "healthy"), ("answer", "healthy")]
    assert {stored.messages[i]["state"] for i in stored.threads["t"]} == {"completed"}


AS_LONG_AS_IT_TAKES = httpx2.Timeout(60.0)
"""Longer than the others need to be refused: each of them waits its turn behind duties that wait for the lock too.

That is up to twice the store's 5 s, and a client that hung up after 8 would not know that it was refused.
"""


@pytest.mark.parametrize("spot", ["before_add", "after_add_commit"])
async def test_what_an_api_process_took_as_it_died_is_stored_once_when_it_is_sent_again(
    running: Cluster, spot: str
) -> None:
    """Nobody can tell whether it was stored. The key can: `submit` sends the same one for the same content."""
    api = running.add("api", "api", slots=1, tamper=functools.partial(failpoints.arm, spot))
    clients = Clients([api.url], spot)
    try:
        await clients.answered_by(api)
        assert await submit(clients, "first") is None
        assert clients.seen.submits[0].reply is Reply.UNKNOWN
        assert await api.gone() == failpoints.EXIT_CODE
        api.tamper = untouched
        api.start()
        await clients.answered_by(api)
        first, second = await submit(clients, "first"), await submit(clients, "second")
        stored = await end_of(clients)
    finally:
        await clients.close()
    assert stored.threads["t"][:2] == [first, second]
    assert [stored.messages[i]["user_message"] for i in stored.threads["t"]] == ["first", "second", RECITE]


@pytest.mark.parametrize("if_busy", ["interrupt", "rollback"])
async def test_a_long_thread_makes_way_when_the_call_is_repeated_after_a_crash_in_its_middle(
    running: Cluster, if_busy: str
) -> None:
    """The dead process has cancelled the end of the thread; the rest waits in its order."""
    api = running.add("api", "api", slots=0, tamper=functools.partial(failpoints.arm, failpoints.CLEAR_SPOT))
    clients = Clients([api.url], if_busy)
    body = {"message": "after all", "thread_id": "t", "agent": "brief", "if_busy": if_busy}
    key = {"Idempotency-Key": "after-all"}

    async def thread(http: httpx2.AsyncClient) -> list[tuple[str, str]]:
        messages = (await http.get("/threads/t/messages", params={"limit": 1000})).raise_for_status().json()
        return [(each["user_message"], each["state"]) for each in messages["messages"]]

    async with httpx2.AsyncClient(base_url=api.url, timeout=AS_LONG_AS_IT_TAKES, trust_env=False) as http:
        try:
            await clients.answered_by(api)
            texts = [str(number) for number in range(3 * CLEARED_AT_ONCE)]
            waiting = [{"message": text, "thread_id": "t", "agent": "brief"} for text in texts]
            for first in range(0, len(waiting), 100):
                answer = await http.post("/messages/batch", json={"messages": waiting[first : first + 100]})
                answer.raise_for_status()
            with pytest.raises(httpx2.TransportError):
                await http.post("/messages", json=body, headers=key)
            assert await api.gone() == failpoints.EXIT_CODE
            api.tamper = untouched
            api.start()
            await clients.answered_by(api)
            left = 2 * CLEARED_AT_ONCE
            half = [(text, "queued" if place < left else "cancelled") for place, text in enumerate(texts)]
            assert await thread(http) == half
            again = await http.post("/messages", json=body, headers=key)
            assert (again.status_code, "Idempotent-Replayed" in again.headers) == (202, False)
            cancelled = [(text, "cancelled") for text in texts]
            assert await thread(http) == [*cancelled, ("after all", "queued")]
            running.add("worker", "worker", slots=1)

            async def done() -> bool:
                return await thread(http) == [*cancelled, ("after all", "completed")]

            await until(done, "the new message has run, and nothing else")
        finally:
            await clients.close()


async def is_remembered(url: str, message_id: str) -> bool:
    """Whether the agents' memory has anything of a message without a thread."""
    settings = Settings(_env_file=None, database_url=url, allow_volatile=True)
    store = make_store(settings)
    await store.open()
    try:
        queue_id = await store.queue_id()
    finally:
        await store.close()
    async with open_saver(checkpoint_url(settings), queue_id) as saver:
        key = Message.memory_key_of(DEFAULT_TENANT, None, message_id)
        return await saver.aget_tuple({"configurable": {"thread_id": key, "checkpoint_ns": ""}}) is not None


def _prune_often() -> None:
    maintenance.PRUNE_SECONDS = 0.2


async def test_a_purge_cut_off_before_the_memory_is_deleted_leaves_no_memory(running: Cluster) -> None:
    url = running.database.url
    api = running.add("api", "api", slots=1, tamper=functools.partial(failpoints.arm, "after_purge_commit"))
    clients = Clients([api.url], "purge")
    async with httpx2.AsyncClient(base_url=api.url, timeout=AS_LONG_AS_IT_TAKES, trust_env=False) as http:
        try:
            await clients.answered_by(api)
            submitted = await http.post("/messages", json={"message": FAIL, "agent": "brief", "max_attempts": 1})
            message_id = submitted.raise_for_status().json()["message_id"]

            async def failed() -> bool:
                return bool((await http.get(f"/messages/{message_id}")).json()["state"] == "failed")

            await until(failed, "the message is a dead letter")
            with pytest.raises(httpx2.TransportError):
                await http.post("/dead-letters/purge", json={"message_ids": [message_id]})
            assert await api.gone() == failpoints.EXIT_CODE
            assert await is_remembered(url, message_id)
            api.tamper = _prune_often
            api.start()
            await clients.answered_by(api)
            assert (await http.get(f"/messages/{message_id}")).status_code == 404

            async def forgotten() -> bool:
                return not await is_remembered(url, message_id)

            await until(forgotten, "the memory of the purged message is deleted")
        finally:
            await clients.close()


def _prune_at_once_and_die() -> None:
    os.environ["EVENT_RETENTION_HOURS"] = "0.0001"
    _prune_often()
    failpoints.arm("after_prune_commit")


async def test_pruning_cut_off_before_the_memory_is_deleted_leaves_no_memory(running: Cluster) -> None:
    api = running.add("api", "api", slots=1, tamper=_prune_at_once_and_die)
    clients = Clients([api.url], "prune")
    async with httpx2.AsyncClient(base_url=api.url, timeout=AS_LONG_AS_IT_TAKES, trust_env=False) as http:
        try:
            await clients.answered_by(api)
            submitted = await http.post("/messages", json={"message": "Hello", "agent": "brief"})
            message_id = submitted.raise_for_status().json()["message_id"]
            assert await api.gone() == failpoints.EXIT_CODE
            assert await is_remembered(running.database.url, message_id)
            api.tamper = untouched
            api.start()
            await clients.answered_by(api)
            assert (await http.get(f"/messages/{message_id}")).json()["state"] == "completed"

            async def forgotten() -> bool:
                return not await is_remembered(running.database.url, message_id)

            await until(forgotten, "the memory of the pruned message is deleted")
        finally:
            await clients.close()


def _stop_inside_a_transaction() -> None:
    """Have the process stop, all of it, when it has added a message and not committed.

    A signal for the process may reach another thread first, and this one would go on and commit meanwhile.
    """
    add = AcceptWrites.add

    def add_and_stop(*args: object) -> object:
        added = add(*args)  # type: ignore[arg-type]  # replaced on purpose
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        return added

    AcceptWrites.add = add_and_stop  # type: ignore[assignment,method-assign]  # replaced on purpose


async def test_others_are_refused_while_a_process_is_stopped_inside_a_transaction_of_sqlite(tmp_path: Path) -> None:
    async with cluster("sqlite", tmp_path) as running:
        stopping = running.add("api", "stopping", slots=0, tamper=_stop_inside_a_transaction)
        healthy = running.add("api", "healthy", slots=2)
        clients = Clients([healthy.url], "healthy", timeout=AS_LONG_AS_IT_TAKES)
        to_stopping = Clients([stopping.url], "stopping", timeout=AS_LONG_AS_IT_TAKES)
        try:
            await asyncio.gather(to_stopping.answered_by(stopping), clients.answered_by(healthy))
            held = asyncio.create_task(submit(to_stopping, "held"))

            async def refused() -> bool:
                await submit(clients, f"before {len(clients.seen.submits)}")
                return clients.seen.submits[-1].reply is Reply.REFUSED

            await until(refused, "the database is locked")
            stopping.send(signal.SIGCONT)
            assert await held is not None
            assert await submit(clients, "behind") is not None
            clients.seen.submits += to_stopping.seen.submits
            stored = await end_of(clients)
        finally:
            await clients.close()
            await to_stopping.close()
    contents = [stored.messages[i]["user_message"] for i in stored.threads["t"]]
    assert contents[-3:] == ["held", "behind", RECITE]
