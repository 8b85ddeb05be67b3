"""Workers of one version are replaced by workers of the next while messages run, fail, ask humans and are drained."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.servers import LiveServer, ServerProcess, server_process, until

AGENT = {"AGENTS": "versioned=tests.versioned_graphs:versioned"}
OLD, NEW = "v1", "v2"
KINDS = ("plain", "fail", "ask")
SLOTS = 9


@contextlib.contextmanager
def worker(folder: Path, database: dict[str, str], version: str, **environment: str) -> Iterator[ServerProcess]:
    """A worker process with this version of the agent."""
    ours = {"WORKER_CONCURRENCY": str(SLOTS), "RETRY_BASE_SECONDS": "0.2", "SHUTDOWN_GRACE_SECONDS": "0.3"}
    environment = {**AGENT, **database, **ours, "AGENT_VERSION": version, **environment}
    with server_process(folder, "app.worker", **environment) as process:
        yield process


class Deploy:
    """The queue that the workers of a deploy share, over HTTP."""

    def __init__(self, client: httpx2.AsyncClient, control: GraphControl) -> None:
        self._client = client
        self._control = control

    async def submit(self, *names: str) -> dict[str, str]:
        """The ids of messages by their names. Those of the kind `fail` fail at their first attempt."""
        for name in names:
            if name.startswith("fail"):
                self._control.crash(name)
        body = {"messages": [{"message": name, "thread_id": name} for name in names]}
        reply = await self._client.post("/messages/batch", json=body)
        assert reply.status_code == 202, reply.text
        return dict(zip(names, (each["message_id"] for each in reply.json()["messages"]), strict=True))

    async def get(self, path: str) -> Any:
        reply = await self._client.get(path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def live(self, **versions: int) -> None:
        """Wait until so many workers of each version are there to run the agent."""

        async def is_live() -> bool:
            (agent,) = (await self.get("/agents"))["agents"]
            return {each["version"]: each["workers"]["available"] for each in agent["versions"]} == versions

        await until(is_live, f"the live workers are {versions}")

    async def in_state(self, ids: dict[str, str], state: str) -> None:
        """Wait until all of these messages are in a state."""

        left = list(ids.values())

        async def all_are() -> bool:
            while left and (await self.get(f"/messages/{left[-1]}"))["state"] == state:
                left.pop()
            return not left

        await until(all_are, f"messages are {state}")

    async def answer(self, ids: dict[str, str]) -> None:
        """Answer the questions of these messages."""
        await self.in_state(ids, "interrupted")
        for message_id in ids.values():
            reply = await self._client.post(f"/messages/{message_id}/resume", json={"value": "yes"})
            assert reply.status_code == 202, reply.text

    async def versions(self, ids: dict[str, str]) -> dict[str, str]:
        """The versions that ran the steps of each message, by its name, once all are completed."""
        await self.in_state(ids, "completed")
        return {name: (await self.get(f"/messages/{each}"))["result"] for name, each in ids.items()}

    async def events(self, message_id: str) -> list[str]:
        return [each["type"] for each in (await self.get(f"/messages/{message_id}/events"))["events"]]


@pytest.fixture
async def deploy(tmp_path: Path, database: dict[str, str], control: GraphControl) -> AsyncIterator[Deploy]:
    with server_process(tmp_path, **AGENT, **database, WORKER_CONCURRENCY="0", VERSION_WAIT_SECONDS="1") as api:
        await api.ready()
        async with httpx2.AsyncClient(base_url=api.url, trust_env=False, verify=False, timeout=30) as client:
            yield Deploy(client, control)


def named(kind: str, ids: dict[str, str]) -> dict[str, str]:
    return {name: message_id for name, message_id in ids.items() if name.startswith(kind)}


async def test_messages_go_on_with_the_version_that_began_them(
    deploy: Deploy, control: GraphControl, tmp_path: Path, database: dict[str, str]
) -> None:
    control.hold("work")
    with worker(tmp_path, database, OLD) as first, worker(tmp_path, database, OLD) as second:
        await deploy.live(v1=2)
        old = await deploy.submit(*(f"{kind} old {number}" for number in range(SLOTS) for kind in KINDS[:2]))
        await until(lambda: all(control.waits(f"work of {name}") for name in old), "v1 runs all of them")
        with worker(tmp_path, database, NEW):
            await deploy.live(v1=2, v2=1)
            new = await deploy.submit(*(f"{kind} new {number}" for number in range(3) for kind in KINDS))
            await until(lambda: all(control.waits(f"work of {name}") for name in new), "v2 runs these")
            assert await asyncio.to_thread(first.terminate) == 0  # its messages go back, and only v1 may take them
            await deploy.live(v1=1, v2=1)
            later = await deploy.submit(*(f"{kind} later {number}" for number in range(12) for kind in KINDS))
            control.release("work")
            await deploy.answer(named("ask", {**new, **later}))
            assert await deploy.versions(old) == dict.fromkeys(old, f"{OLD} {OLD} {OLD}")
            assert await deploy.versions(new) == dict.fromkeys(new, f"{NEW} {NEW} {NEW}")
            both = await deploy.versions(later)
            assert set(both.values()) <= {f"{OLD} {OLD} {OLD}", f"{NEW} {NEW} {NEW}"}

            control.hold("work")
            last = await deploy.submit(*(f"plain last {number}" for number in range(2 * SLOTS)))
            await until(lambda: all(control.waits(f"work of {name}") for name in last), "v1 and v2 run all of them")
            second.kill()  # what it runs waits for v1, in vain, and then goes on with v2
            await deploy.live(v2=1)
            control.release("work")
            ran = await deploy.versions(last)
            assert sorted(ran.values()) == [f"{OLD} {NEW} {NEW}"] * SLOTS + [f"{NEW} {NEW} {NEW}"] * SLOTS
            for name, message_id in last.items():
                assert ("version" in await deploy.events(message_id)) == (OLD in ran[name])


async def test_without_a_worker_of_its_version_a_message_goes_on_with_the_next(
    deploy: Deploy, control: GraphControl, tmp_path: Path, database: dict[str, str]
) -> None:
    with worker(tmp_path, database, OLD) as old:
        await deploy.live(v1=1)
        ids = await deploy.submit("ask")
        await deploy.in_state(ids, "interrupted")
        assert (await deploy.get(f"/messages/{ids['ask']}"))["agent_version"] == OLD
        assert await asyncio.to_thread(old.terminate) == 0
    with worker(tmp_path, database, NEW):
        await deploy.live(v2=1)
        await deploy.answer(ids)
        assert await deploy.versions(ids) == {"ask": f"{OLD} {NEW} {NEW}"}
        assert (await deploy.get(f"/messages/{ids['ask']}"))["agent_version"] == NEW
        listed = (await deploy.get(f"/messages/{ids['ask']}/events"))["events"]
        types = [each["type"] for each in listed]
        assert types[types.index("resumed") :][:3] == ["resumed", "version", "processing"]
        assert listed[types.index("version")]["data"] == {"state": "queued", "from": OLD, "to": NEW}
        more = await deploy.submit("plain")
        assert await deploy.versions(more) == {"plain": f"{NEW} {NEW} {NEW}"}
        follow = await deploy._client.post("/messages", json={"message": "next", "thread_id": "ask"})
        ran = await deploy.versions({"next": follow.json()["message_id"]})  # reads what v1 has written
        assert ran == {"next": f"{NEW} {NEW} {NEW}"}


# In one process


async def test_a_message_tells_which_version_it_waits_for(serve: Serve, control: GraphControl) -> None:
    agents = AGENT["AGENTS"]
    old = await serve(agents=agents, agent_version=OLD)
    asking = await old.submit("ask")

    async def asks() -> bool:
        return bool((await old.status(asking["message_id"]))["state"] == "interrupted")

    await until(asks, "it asks")
    await old.runtime.worker.stop(0)
    new = await serve(agents=agents, agent_version=NEW, version_wait_seconds=3600)

    async def version_is(version: str) -> bool:
        (agent,) = (await new.client.get("/agents")).json()["agents"]
        return [(each["version"], each["workers"]["available"]) for each in agent["versions"]] == [(version, 1)]

    await until(lambda: version_is(NEW), "only v2 is live")
    assert (await new.client.get("/agents/versioned")).json()["version"] == NEW
    (listed,) = (await new.client.get("/workers")).json()["workers"]
    assert [(agent["name"], agent["version"]) for agent in listed["agents"]] == [("versioned", NEW)]
    await new.client.post(f"/messages/{asking['message_id']}/resume", json={"value": "yes"})

    async def waits() -> Any:
        reason = (await new.status(asking["message_id"]))["waiting_reason"]
        return reason if reason["code"] == "version_unavailable" else None

    reason = await until(waits, "it says what it waits for")
    assert reason["message"] == "It waits for a worker with version 'v1' of agent 'versioned', which began it."
    fresh = await new.submit("plain")
    assert (await new.ended(fresh["message_id"]))["agent_version"] == NEW
    back = await serve(agents=agents, agent_version=OLD)
    assert (await back.ended(asking["message_id"]))["agent_version"] == OLD


async def test_a_single_process_without_a_wait_goes_on_at_once(serve: Serve, control: GraphControl) -> None:
    agents = AGENT["AGENTS"]
    old: LiveServer = await serve(agents=agents, agent_version=OLD)
    asking = await old.submit("ask")

    async def asks() -> bool:
        return bool((await old.status(asking["message_id"]))["state"] == "interrupted")

    await until(asks, "it asks")
    await old.runtime.worker.stop(0)
    new = await serve(agents=agents, agent_version=NEW, version_wait_seconds=0)
    await new.client.post(f"/messages/{asking['message_id']}/resume", json={"value": "yes"})
    assert (await new.ended(asking["message_id"]))["agent_version"] == NEW
