"""The examples of the page about OpenAI's clients, and its JavaScript client, unmodified."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.node_packages import installed, node
from tests.openai_clients import AGENTS
from tests.openai_stub import StubServer
from tests.pages import DOCS, named
from tests.servers import ROOT, LiveServer

FOLDER = ROOT / "tests" / "openai_sdks"
PAGE = DOCS / "how-to" / "use-openai-clients.md"
DEADLINE_SECONDS = 100

SEEN: dict[str, Any] = {
    "models": ["steps", "approving", "failing", "tools", "flaky", "plain"],
    "chat": "Heard: Hello",
    "chunks": "Step one. \n\nHeard: Hello",
    "text": "Heard: Hello",
    "numbers": True,
    "again": True,
    "follows": True,
    "background": "queued",
    "ended": "completed",
    "cancelled": "completed",
    "question": ["ask_human", {"question": "May I?"}],
    "answered": "Heard: Do",
    "failed": "failed",
    "refused": 500,
    "missing": [404, "response_not_found"],
    "unknown": "model_not_found",
    "deleted": "message_not_found",
}


async def run(*command: str) -> str:
    """Return the output of a program. Fails if it does not end with 0."""
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_javascript_client_sees_what_it_sees_on_its_own_server(serve: Serve, control: GraphControl) -> None:
    await asyncio.to_thread(installed, FOLDER)
    server = await serve(agents=AGENTS, max_attempts=1)
    assert json.loads(await run(node(), "scenario.mjs", f"{server.url}/v1")) == SEEN


async def test_the_examples_of_the_page_print_the_answers(server: LiveServer, model: StubServer) -> None:
    await asyncio.to_thread(installed, FOLDER)
    python = named(PAGE, "tested: openai client").replace("http://localhost:8000", server.url)
    printed = await run(sys.executable, "-c", python)
    more, first = (await server.client.get("/messages")).json()["messages"]
    assert printed == f"{first['result']}\n{more['result']}"
    assert (first["priority"], first["thread_id"]) == ("high", more["thread_id"])

    javascript = named(PAGE, "tested: openai client in javascript").replace("http://localhost:8000", server.url)
    printed = await run(node(), "--input-type=module", "--eval", javascript)
    newest = (await server.client.get("/messages")).json()["messages"][0]
    assert printed == newest["result"]
    assert model.text_of_users(2) == ["What is the capital of France?"]
