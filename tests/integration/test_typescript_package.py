"""The TypeScript client with real servers: its methods, and runs whose server is killed and started again."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from agentq_client import AsyncAgentQ

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.node_packages import installed, npm
from tests.openai_stub import openai_stub_in_thread
from tests.servers import DEADLINE_SECONDS, ROOT, ServerProcess, free_port

FOLDER = ROOT / "clients" / "typescript"

RUNS = int(os.environ.get("CLIENT_RUNS", "20"))
"""Runs whose servers are killed. The figure of the pages is measured with 200."""

RUNS_AT_ONCE = 20

WORDS = " ".join(f"#n#.{word}" for word in range(25))


@pytest.fixture(scope="module", autouse=True)
def its_packages() -> None:
    """Install exactly what the lock file says."""
    installed(FOLDER)


async def run(script: str, *arguments: str) -> str:
    """Return what a script of the live tests prints."""
    return await asyncio.to_thread(npm, FOLDER, "exec", "--", "tsx", f"test/live/{script}.ts", *arguments)


async def test_its_methods_work(serve: Serve, control: GraphControl) -> None:
    control.crash("flaky")
    chat = await serve()
    agents = await serve(
        agents=",".join(f"{name}=tests.graphs:{name}" for name in ("approving", "flaky", "failing")), max_attempts=1
    )
    output = await run("methods", chat.url, agents.url)
    assert output.count("as it should be") == 7


async def test_runs_give_every_text_once_while_their_server_is_killed(tmp_path: Path) -> None:
    environment = {"WORKER_CONCURRENCY": "10", "OPENAI_API_KEY": "sk-test", "PORT": str(free_port())}
    url = f"http://127.0.0.1:{environment['PORT']}"
    with openai_stub_in_thread() as stub:
        environment["OPENAI_BASE_URL"] = stub.base_url

        def start() -> ServerProcess:
            return ServerProcess(tmp_path, cold=False, **environment)

        server = start()
        try:
            for _ in range(0, RUNS, RUNS_AT_ONCE):
                text = f"#delay 0.03 run #n# says {WORDS}"
                task = asyncio.create_task(run("runs", url, str(RUNS_AT_ONCE), text))
                await stub.received(len(stub.requests) + 5, DEADLINE_SECONDS)
                server.kill()
                server = start()
                shown = [json.loads(line) for line in (await task).splitlines()]
                expected = {number: f"run {number} says {WORDS.replace('#n#', str(number))}" for number in range(20)}
                assert {each["number"]: each["shown"] for each in shown} == expected
            async with AsyncAgentQ(url) as client:
                assert (await client.queue.get()).total_completed == RUNS, "nothing was submitted twice"
        finally:
            server.kill()
