"""Whatever the code of an agent does ends its own message and nothing else. On servers in processes of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.config import Settings
from tests.graph_control import GraphControl
from tests.servers import ServerProcess, live_server, server_process, until

AGENTS = """
import asyncio
import sys
import time

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from tests.graph_control import GraphControl


class Own(BaseException):
    pass


class SlowText(Exception):
    def __str__(self):
        hold("text")
        return "late"


def misbehave(kind):
    match kind:
        case "slow text":
            raise SlowText
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "generator":
            raise GeneratorExit
        case "own":
            raise Own("not an Exception")
        case "cancelled":
            raise asyncio.CancelledError
        case "group":
            raise BaseExceptionGroup("two", [KeyboardInterrupt(), ValueError("x")])


async def inner_task_is_cancelled():
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def deaf():
    GraphControl.of_environment().record("deaf")
    while True:
        try:
            await asyncio.sleep(0.05)
        except BaseException:
            pass


def hold(name):
    control = GraphControl.of_environment()
    while control.held(name):
        control.wait_begins(name)
        time.sleep(0.01)


async def function(text: str) -> str:
    misbehave(text)
    match text:
        case "inner":
            await inner_task_is_cancelled()
        case "deaf":
            await deaf()
        case "stop iteration":
            await asyncio.to_thread(next, iter([]))
        case "block":
            hold("block")
    return "fine"


async def endless(text: str):
    while True:
        yield "word "


async def async_node(state):
    return {"messages": [AIMessage(await function(state["messages"][-1].content))]}


def sync_node(state):
    text = state["messages"][-1].content
    misbehave(text)
    if text.startswith("hang"):
        hold("hang")
    return {"messages": [AIMessage("fine")]}


def graph_of(node):
    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile()


asynchronous, synchronous = graph_of(async_node), graph_of(sync_node)
"""

NAMES = ("function", "endless", "asynchronous", "synchronous")
ABANDONED = 3


class Tried:
    """A server with these agents."""

    def __init__(self, server: ServerProcess, client: httpx2.AsyncClient, control: GraphControl) -> None:
        self.server = server
        self.client = client
        self.control = control

    async def submit(self, text: str, agent: str, **fields: Any) -> str:
        """The id of a new message."""
        reply = await self.client.post("/messages", json={"message": text, "agent": agent, **fields})
        assert reply.status_code == 202, reply.text
        return str(reply.json()["message_id"])

    async def status(self, message_id: str) -> dict[str, Any]:
        """The message now."""
        return dict((await self.client.get(f"/messages/{message_id}/status")).json())

    async def findings(self) -> set[str]:
        """The codes of what the doctor finds."""
        return {each["code"] for each in (await self.client.get("/doctor")).json()["findings"]}

    async def in_state(self, message_id: str, *states: str) -> dict[str, Any]:
        """The message once it is in one of these states."""

        async def look() -> dict[str, Any] | None:
            status = await self.status(message_id)
            return status if status["state"] in states else None

        return dict(await until(look, f"{message_id} is {states}; log: {self.server.output}"))

    async def is_told(self, message_id: str, agent: str, obstacle: str) -> None:
        """Wait until the message and the list of workers say why it is not run."""

        async def look() -> bool:
            (worker,) = (await self.client.get("/workers")).json()["workers"]
            told = {each["name"]: each for each in worker["agents"]}[agent]
            reason = (await self.status(message_id))["waiting_reason"]
            return bool(
                (told["state"], reason["code"]) == ("stuck", "agent_unavailable")
                and obstacle in told["error"]
                and reason["message"] == f"Agent {agent!r} cannot be run now: {told['error']}"
            )

        await until(look, f"the obstacle of {message_id} is told; log: {self.server.output}")

    async def ended(self, message_id: str) -> dict[str, Any]:
        """The message once it has ended."""
        return await self.in_state(message_id, "completed", "failed", "cancelled")


@pytest.fixture
async def tried(tmp_path: Path) -> AsyncIterator[Tried]:
    (tmp_path / "misbehaving.py").write_text(AGENTS)
    control = GraphControl(tmp_path)
    with server_process(
        tmp_path,
        "tests.patient_server",
        AGENTS=",".join(f"{name}=misbehaving:{name}" for name in NAMES),
        MAX_ATTEMPTS="1",
        MAX_ABANDONED=str(ABANDONED),
        WORKER_CONCURRENCY="2",
        SHUTDOWN_GRACE_SECONDS="0.2",
        LEASE_SECONDS="3",
        **control.environment,
    ) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, timeout=30, trust_env=False, verify=False) as client:
            yield Tried(server, client, control)


async def test_what_an_agent_raises_fails_its_message_and_the_server_goes_on(tried: Tried) -> None:
    kinds = ("exit", "interrupt", "generator", "own", "cancelled", "group", "inner", "stop iteration")
    for agent in ("function", "asynchronous", "synchronous"):
        for kind in kinds[: 6 if agent == "synchronous" else 8]:
            ended = await tried.ended(await tried.submit(kind, agent))
            assert (ended["state"], ended["error_code"]) == ("failed", "agent_error"), (agent, kind, ended["error"])
            assert (await tried.ended(await tried.submit("hello", agent)))["result"] == "fine", (agent, kind)


async def test_the_text_of_an_error_is_read_beside_everything_else_and_not_for_ever(tried: Tried) -> None:
    tried.control.hold("text")
    slow = await tried.submit("slow text", "function")
    await until(lambda: tried.control.waits("text"), "the text is being made")
    assert (await tried.client.get("/health/live")).status_code == 200
    assert (await tried.ended(await tried.submit("hello", "asynchronous")))["result"] == "fine"
    ended = await tried.ended(slow)
    assert ended["error"] == "SlowText: (its text could not be read)"
    assert (await tried.client.get("/health")).json()["checks"]["worker"]["ok"]
    tried.control.release("text")


async def test_a_stop_ends_the_message_of_an_agent_that_swallows_its_cancellation(tried: Tried) -> None:
    cancelled = await tried.submit("deaf", "asynchronous")
    await until(lambda: tried.control.runs["deaf"] == 1, "it is deaf by now")
    assert (await tried.client.post(f"/messages/{cancelled}/cancel")).status_code == 202
    assert (await tried.ended(cancelled))["state"] == "cancelled"
    late = await tried.ended(await tried.submit("deaf", "function", timeout=1))
    assert (late["state"], late["error_code"]) == ("failed", "timeout")
    checks = (await tried.client.get("/health")).json()["checks"]
    assert checks["worker"] == {"ok": True, "detail": "runs or threads of ended messages that do not stop: 2"}
    assert f"abandoned: id={cancelled}, agent=asynchronous, at=" in tried.server.output
    assert (await tried.ended(await tried.submit("hello", "function")))["result"] == "fine"
    await tried.submit("deaf", "function")
    await until(lambda: tried.control.runs["deaf"] == 3, "another one runs")
    await asyncio.to_thread(tried.server.terminate)


async def test_a_limit_ends_an_answer_without_end(tried: Tried) -> None:
    ended = await tried.ended(await tried.submit("go", "endless", timeout=0.5))
    assert (ended["state"], ended["error_code"]) == ("failed", "timeout")
    assert (await tried.client.get("/health")).json()["checks"]["worker"] == {"ok": True, "detail": ""}


async def test_hanging_threads_are_replaced_up_to_a_bound(tried: Tried) -> None:
    tried.control.hold("hang")
    for number in range(ABANDONED):
        assert (await tried.client.get("/health/ready")).status_code == 200
        ended = await tried.ended(await tried.submit(f"hang {number}", "synchronous", timeout=1))
        assert ended["error_code"] == "timeout"

    async def refused() -> bool:
        return (await tried.client.get("/health/ready")).status_code == 503

    await until(refused, "the server is not ready")
    worker = (await tried.client.get("/health")).json()["checks"]["worker"]
    assert worker == {"ok": False, "detail": f"runs or threads of ended messages that do not stop: {ABANDONED}"}
    assert "hung_threads" in await tried.findings()
    waiting = await tried.submit("hello", "synchronous")
    await tried.is_told(waiting, "synchronous", f"{ABANDONED} runs or threads of ended messages do not stop")
    await until(lambda: "claims no more messages" in tried.server.output, "the log says why nothing is claimed")
    assert "misbehaving.py" in tried.server.output, "the log says where the threads hang"
    assert (await tried.status(waiting))["state"] == "queued"
    tried.control.release("hang")
    assert (await tried.ended(waiting))["result"] == "fine", "it goes on when the threads do"


async def test_a_blocked_event_loop_blocks_neither_http_nor_limits_nor_cancels(tried: Tried) -> None:
    tried.control.hold("block")
    cancelled = await tried.submit("go", "endless")
    await tried.in_state(cancelled, "processing")
    late = await tried.submit("block", "function", timeout=1)
    await until(lambda: tried.control.waits("block"), "the loop is blocked")
    assert (await tried.client.get("/health/live")).status_code == 200
    assert (await tried.client.post(f"/messages/{cancelled}/cancel")).status_code == 202
    assert (await tried.ended(cancelled))["state"] == "cancelled"
    async with tried.client.stream("GET", f"/messages/{late}/stream") as stream:
        events = [line async for line in stream.aiter_lines() if line.startswith("event: ")]
    assert events == ["event: processing", "event: error"]
    assert (await tried.status(late))["error_code"] == "timeout"
    await until(lambda: "loop of the agents is blocked" in tried.server.output, "the log names the agent")
    assert f"agent=function, id={late}, at=" in tried.server.output
    assert "misbehaving.py" in tried.server.output
    waiting = await tried.submit("hello", "function")
    await tried.is_told(waiting, "function", "Agent 'function' blocks the event loop of all agents.")

    async def refused() -> bool:
        return (await tried.client.get("/health/ready")).status_code == 503

    await until(refused, "a process that is blocked for long is given no work")
    health = (await tried.client.get("/health")).json()["checks"]["worker"]["detail"]
    assert health.startswith("agent 'function' blocks the event loop of all agents for ")
    assert "misbehaving.py" not in health
    assert "loop_blocked" in await tried.findings()
    tried.control.release("block")
    assert (await tried.ended(waiting))["result"] == "fine"
    await until(lambda: "The event loop of the agents runs again" in tried.server.output, "the log tells the end")


async def test_a_blocked_event_loop_does_not_keep_the_process(tried: Tried, settings: Callable[..., Settings]) -> None:
    tried.control.hold("block")
    beside = await tried.submit("go", "endless")
    await tried.in_state(beside, "processing")
    blocking = await tried.submit("block", "function")
    await until(lambda: "loop of the agents is blocked" in tried.server.output, "the loop is blocked")
    await asyncio.to_thread(tried.server.terminate)
    output = tried.server.output
    assert f"abandoned: id={blocking}, agent=function, at=" in output
    assert f"abandoned: id={beside}, agent=endless, at=the loop, which another run blocks: agent=function" in output
    assert "Traceback" not in output
    assert "is ended" not in output, "it ended by itself"
    async with live_server(settings(worker_concurrency=0)) as later:
        for message_id in (blocking, beside):
            status = await later.status(message_id)
            assert (status["state"], status["attempt"]) == ("queued", 0), "it was put back and no attempt was spent"
