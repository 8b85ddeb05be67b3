"""Agent Chat UI, unmodified, in a real Chromium: `make browsers`.

It takes some minutes and 400 MB of packages for the page's build, so the suite does not run it.
"""

import asyncio
import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.node_packages import installed, node
from tests.servers import server_process

FOLDER = Path(__file__).parent
PICTURES = FOLDER / "pictures"
TEMPLATE = FOLDER / "node_modules" / "create-agent-chat-app" / "templates" / "vite"
AGENTS = ",".join(f"{name}=tests.browser.agents:{name}" for name in ("tools", "asks", "writes"))
DEADLINE_SECONDS = 600


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    """The address of the page, built from the files of its package."""
    installed(FOLDER)
    app = FOLDER / "node_modules" / ".agent-chat-ui"
    if not (app / "dist" / "index.html").exists():
        shutil.copytree(TEMPLATE, app, dirs_exist_ok=True)
        subprocess.run([node("npx"), "vite", "build"], cwd=app, check=True, timeout=DEADLINE_SECONDS)
    handler = functools.partial(QuietHandler, directory=app / "dist")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


async def test_a_chat_a_tool_an_approval_and_a_reload(page: str, tmp_path: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    for name in ("model", "agents"):
        (tmp_path / name).mkdir()
    with (
        server_process(tmp_path / "model", CORS_ORIGINS=page) as model,
        server_process(tmp_path / "agents", CORS_ORIGINS=page, AGENTS=AGENTS) as agents,
    ):
        await model.ready()
        await agents.ready()
        apis = [f"{server.url}/langgraph" for server in (model, agents)]
        command = [node(), "chat.mjs", page, *apis, str(PICTURES)]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
        )
    assert done.returncode == 0, done.stderr + model.output + agents.output
    saw = json.loads(done.stdout)
    assert "Paris" in saw["chat"]
    assert saw["errors"] == []
    assert {status // 100 for status in saw["requests"].values()} == {2}
    assert saw["reloaded"], saw["chat"]
    assert saw["tool"]
    words = [f"word{number}" for number in range(60)]
    assert saw["before"] == words[: len(saw["before"])]
    assert saw["cancelled"] == words[: len(saw["cancelled"])]
    assert len(saw["before"]) <= len(saw["cancelled"]) < 60
    assert saw["again"] == words
    assert saw["threads"]
