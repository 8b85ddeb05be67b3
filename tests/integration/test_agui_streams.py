"""Streams of AG-UI: pages that are cut off, come back, or read side by side."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from app.api.streaming import KEEP_ALIVE
from app.clock import SteadyClock
from app.models.events import EventType, NewEvent
from app.store.ports import Store
from tests import wire
from tests.agui_events import ReadRun, events_of
from tests.contract.backends import StoreFactory
from tests.contract.builders import DONE, FAILED, claim_one, requeue
from tests.durable_streams_readers import CuttingProxy
from tests.integration.conftest import Serve
from tests.node_packages import installed, node
from tests.servers import ROOT, LiveServer, until

FOLDER = ROOT / "tests" / "agui"
CUTS = 100
EVENTS = 1_000
EVENTS_A_CUT = EVENTS // CUTS
LEASE_SECONDS = 300.0
"""Longer than all tests may take, since nobody renews the lease."""

AROUND_BYTES = 1_200
"""Fewer bytes than a request and its stream have besides the text so far, so that each write leads to a cut."""

GRAPHS = "steps=tests.graphs:steps,approving=tests.graphs:approving"


@pytest.fixture
def store(make_store: StoreFactory, tmp_path: Path) -> Store:
    """An empty store of each kind, which the server opens."""
    return make_store(tmp_path, SteadyClock())


@pytest.fixture
async def server(serve: Serve, store: Store) -> LiveServer:
    """A server without workers on a store of each kind, whose messages the test runs itself."""
    return await serve(store=store, worker_concurrency=0, keepalive_interval=1, agents=GRAPHS)


class GrowingCuts(CuttingProxy):
    """Cuts connections after up to as many bytes as a request and its stream have with the text so far.

    A page that has all of it is cut off too: its stream then has a keep-alive, and no more bytes until the next events.
    """

    text_bytes = 0

    @override
    def passed(self, data: bytes) -> None:
        super().passed(data)
        if self._left and KEEP_ALIVE in data:
            self.cut()

    @override
    def _arm(self) -> None:
        self._most_bytes = AROUND_BYTES + 2 * self.text_bytes
        super()._arm()

    def stop(self) -> None:
        """Cut nothing from now on."""
        self._left, self._budget = 0, None


def piece(number: int) -> NewEvent:
    """The event of a run with this number: texts of three messages, reasoning, tools, steps, states, and others."""
    message = f"m{number // 400}"
    task = {"node": "model", "task": str(number // 40)}
    called = {"id": f"c{number // 40}", "name": "add"}
    others = {
        5: NewEvent.shown("node", {"state": "start", **task}),
        17: NewEvent.chunk("reasoning", f"thought{number} ", number, message=message),
        20: NewEvent.chunk("tool_call", {**called, "args": {"a": number}}, number, message=message),
        21: NewEvent.chunk("tool_result", {**called, "content": str(number)}, number, message=f"t{number}"),
        30: NewEvent.shown("values", {"messages": [], "count": number}),
        35: NewEvent.shown("node", {"state": "end", **task}),
    }
    return others.get(number % 40) or NewEvent.chunk("content", f"word{number} ", number, message=message)


def written(events: int) -> dict[str, str]:
    """The texts of messages by their ids, as the pieces give them."""
    texts: dict[str, str] = {}
    for number in range(events):
        data = json.loads(piece(number).data)
        if piece(number).type is EventType.CHUNK and isinstance(data["chunk"], str):
            name = data["message"] + ("-reasoning" if data["type"] == "reasoning" else "")
            texts[name] = texts.get(name, "") + data["chunk"]
    return texts


async def followed(server: LiveServer, store: Store, proxy: GrowingCuts) -> None:
    """Write a run of 1,000 events, some of them after each cut."""
    cuts = 0

    async def until_stored() -> Any:
        nonlocal cuts
        cuts = proxy.cut_off
        return (await server.client.get("/messages")).json()["messages"]

    await until(until_stored, "the message is stored")
    lease = await claim_one(store, agents=["steps"], lease_seconds=LEASE_SECONDS)
    for begin in range(0, EVENTS, EVENTS_A_CUT):
        new = [piece(number) for number in range(begin, begin + EVENTS_A_CUT)]
        await store.append(lease, new)
        proxy.text_bytes += sum(len(each.data) // 10 for each in new)
        await proxy.until_cut(cuts := max(cuts, proxy.cut_off) + 1)
    proxy.stop()
    await store.finish(lease, DONE)


async def test_a_page_that_is_cut_off_100_times_has_no_gap_and_no_double(server: LiveServer, store: Store) -> None:
    await asyncio.to_thread(installed, FOLDER)
    async with GrowingCuts(int(server.url.rpartition(":")[2]), 10_000, AROUND_BYTES, seed=1) as proxy:
        command = [node(), "follow.mjs", f"http://127.0.0.1:{proxy.port}", "steps", "t", "Hello"]
        page = asyncio.create_task(
            asyncio.to_thread(
                subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100
            )
        )
        await followed(server, store, proxy)
        async with asyncio.timeout(wire.DEADLINE_SECONDS):
            done = await page
    assert done.returncode == 0, done.stderr
    saw = json.loads(done.stdout)
    assert saw["breaks"] >= CUTS
    assert (saw["shrank"], saw["doubles"], saw["last"]) == ([], [], ["success"])
    texts = {each["id"]: each["content"] for each in saw["messages"] if each["role"] in ("assistant", "reasoning")}
    assert texts == written(EVENTS)
    calls = [call["id"] for each in saw["messages"] for call in each.get("toolCalls", ())]
    assert sorted(calls) == sorted(f"c{number}" for number in range(EVENTS // 40))
    results = {each["toolCallId"]: each["content"] for each in saw["messages"] if each["role"] == "tool"}
    assert results == {f"c{number}": str(number * 40 + 21) for number in range(EVENTS // 40)}
    assert saw["state"] == {"count": EVENTS - 10}
    assert len((await server.client.get("/messages")).json()["messages"]) == 1


async def test_a_page_that_comes_back_to_a_requeued_message_has_its_new_answer(
    server: LiveServer, store: Store
) -> None:
    body = {"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": "Hi"}]}
    first = asyncio.create_task(server.client.post("/agui/steps", json=body))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    lease = await claim_one(store, agents=["steps"], lease_seconds=LEASE_SECONDS)
    await store.append(lease, [NewEvent.chunk("content", "Old", 0, message="m1")])
    await store.finish(lease, FAILED)
    failed = ReadRun().take(*events_of((await first).content))
    assert (failed.shown(), failed.outcome) == (["Old"], "agent_error")
    await requeue(store, lease.message_id)
    lease = await claim_one(store, agents=["steps"], lease_seconds=LEASE_SECONDS)
    await store.append(lease, [NewEvent.chunk("content", "New, ", 0, message="m2")])
    back = asyncio.create_task(server.client.post("/agui/steps", json={**body, "messages": []}))
    await until(lambda: server.runtime.services.streams.open_by_kind()["stream"], "a reader")
    await store.append(lease, [NewEvent.chunk("content", "newer", 0, message="m2")])
    await store.finish(lease, DONE)
    read = ReadRun().take(*events_of((await back).content))
    assert (read.shown(), read.outcome) == ([("user", "Hi"), "New, newer"], "success")
