"""`agentq top` against a real server: the screen with its keys, a snapshot for programs, and what costs the server."""

import asyncio
import contextlib
from io import StringIO
from itertools import repeat
from pathlib import Path

import pytest

from app.access.scopes import AccessScope
from app.cli import overview_feed
from app.cli.main import execute
from app.cli.overview import read_overview
from app.cli.overview_feed import OverviewFeed
from app.cli.terminal import Terminal
from app.client import AsyncAgentQ
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_command_line import AGENTS, run
from tests.integration.test_keys import issue
from tests.proxy import Moment, proxy_to
from tests.screens import OnTerminal
from tests.servers import until
from tests.unit.test_command_line import FULL, Broken


async def test_a_snapshot_of_the_queue(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    failed = (await server.submit("\x1b[2Jbad", agent="failing"))["message_id"]
    await server.ended(failed)
    control.hold("first")
    running = (await server.submit("one", agent="steps"))["message_id"]
    await until(lambda: control.waits("first"), "it runs")
    waiting = (await server.submit("two", agent="steps", priority="high"))["message_id"]
    await run(server, "queue", "pause")
    [seen] = (await run(server, "top", "--json")).records
    assert [each["id"] for each in seen["queue"]["processing_messages"]] == [running]
    assert [each["id"] for each in seen["queue"]["queued_messages"]] == [waiting]
    assert [each["message_id"] for each in seen["failed"]] == [failed]
    assert seen["statistics"]["server"]["waiting"]["high"] == 1
    assert (len(seen["workers"]), seen["workers"][0]["slots"]) == (1, 1)
    assert "queue_paused" in {each["code"] for each in seen["problems"]}
    piped = (await run(server, "top")).output
    assert piped.startswith("PAUSED  queued 1  running 1/1")
    assert all(each in piped for each in (running, waiting, failed, "$ curl"))
    assert "\x1b" not in piped
    full = Terminal(StringIO(), Broken(FULL), told := StringIO())
    assert await asyncio.to_thread(execute, ["top", "--url", server.url], full) == 1
    assert told.getvalue() == "The output cannot be written: No space left on device. Try: df -h\n"
    for width in (60, 80, 120):
        lines = (await run(server, "top", "--once", width=width)).output.splitlines()
        assert max(map(len, lines)) <= width
        assert {"PROBLEMS", "RUNNING", "WAITING", "FAILED", "WORKERS"} <= set(lines)
    control.release_all()


async def test_what_the_key_may_not_see_is_left_out(serve: Serve, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0)
    key = tmp_path / "key"
    key.write_text((await issue(server, AccessScope.READ)).text)
    [seen] = (await run(server, "top", "--json", "--api-key-file", str(key))).records
    assert (seen["workers"], seen["problems"], seen["statistics"]["server"]) == (None, None, None)
    assert seen["queue"]["total_queued"] == 0
    key.write_text((await issue(server, AccessScope.SUBMIT)).text)
    refused = await run(server, "top", "--json", "--api-key-file", str(key))
    assert (refused.code, refused.problem["code"]) == (1, "insufficient_scope")


async def test_the_screen_keeps_up_and_its_keys_act(
    serve: Serve, control: GraphControl, terminals: list[OnTerminal]
) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    control.hold("second")
    running = (await server.submit("one", agent="steps"))["message_id"]
    waiting = (await server.submit("two", agent="steps"))["message_id"]
    async with proxy_to(int(server.url.rpartition(":")[2]), b"GET /queue") as between:
        terminal = OnTerminal(f"http://127.0.0.1:{between.port}", "top", columns=120)
        terminals.append(terminal)
        await until(
            lambda: running in terminal.text and "~2 tok" in terminal.text, "the running message has its tokens"
        )
        terminal.type("j")
        await until(lambda: f"▸ {running}" in terminal.text, "it is chosen")
        terminal.type("\r")
        await until(lambda: "attempt   1" in terminal.text, "it is shown")
        terminal.type("\rc")
        await until(lambda: f"Cancel {running}? y/n" in terminal.text, "the key asks")
        terminal.type("y")
        assert (await server.ended(running))["state"] == "cancelled"
        terminal.type("p")
        await until(lambda: "PAUSED" in terminal.text, "the queue is paused")
        between.plan = repeat(Moment.BEFORE_THE_COMMAND)
        terminal.type("p")
        await until(lambda: "stale for" in terminal.rows[0], "the screen is stale")
        assert waiting in terminal.text
        between.plan = iter(())
        await until(lambda: "live" in terminal.rows[0] and "PAUSED" not in terminal.text, "it keeps up again")
        terminal.type("/no such\r")
        await until(lambda: waiting not in terminal.text, "the filter hides it")
        terminal.type("q")
        await until(lambda: terminal.process.poll() is not None, "it has quit")
    assert terminal.process.returncode == 0
    assert (await server.client.get("/queue")).json()["paused"] is False
    control.release_all()


async def test_many_changes_cost_few_reads(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream of changes says when to read, and an idle queue is read at the longest time only."""
    server = await serve(worker_concurrency=0)
    reads = 0

    async def counted(*given: object) -> object:
        nonlocal reads
        reads += 1
        return await read_overview(*given)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(overview_feed, "read_overview", counted)
    monkeypatch.setattr(overview_feed, "MAX_READ_SECONDS", 600.0)
    drawn = asyncio.Event()
    async with AsyncAgentQ(server.url) as client:
        feed = OverviewFeed(client, drawn.set)
        task = asyncio.create_task(feed.run())
        await drawn.wait()
        for _ in range(20):
            await server.submit()
        await until(lambda: feed.overview and feed.overview.queue.total_queued == 20, "the overview keeps up")
        assert reads <= 4
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
