"""Pages with the AI SDK's `useChat` in a real Chromium: `make browsers`."""

import asyncio
import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.agent_chat_ui import AGENTS, DEADLINE_SECONDS, FOLDER, PICTURES, QuietHandler
from tests.node_packages import installed, node
from tests.servers import server_process


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page's files."""
    installed(FOLDER)
    return tmp_path_factory.mktemp("page")


@pytest.fixture
def page(built: Path) -> Iterator[str]:
    """The address of the page's folder."""
    shutil.copy(FOLDER / "use_chat.html", built)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=built)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def build(code: str, to: Path) -> None:
    """Make the script of the page."""
    options = ["--bundle", "--minify", "--jsx=automatic", "--loader=jsx", "--log-level=warning"]
    command = [
        node("npx"),
        "esbuild",
        *options,
        '--define:process.env.NODE_ENV="production"',
        f"--outfile={to / 'page.js'}",
    ]
    subprocess.run(command, cwd=FOLDER, input=code, text=True, check=True, timeout=DEADLINE_SECONDS)


async def used(program: str, *arguments: str) -> Any:
    """Return what a program saw in the browser."""
    command = [node(), program, *arguments]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_example_of_the_documentation(built: Path, page: str, tmp_path: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    with server_process(tmp_path, CORS_ORIGINS=page) as server:
        await server.ready()
        build((FOLDER / "use_chat_example.jsx").read_text().replace("http://localhost:8000", server.url), built)
        saw = await used("use_chat_example.mjs", page, str(PICTURES))
    assert saw["errors"] == []
    question, answer = saw["texts"]
    assert question == "What is the capital of France?"
    assert "Paris" in answer


async def test_a_chat_that_is_cut_reloaded_stopped_and_asked(built: Path, page: str, tmp_path: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    build((FOLDER / "use_chat_page.jsx").read_text(), built)
    for name in ("model", "agents"):
        (tmp_path / name).mkdir()
    with (
        server_process(tmp_path / "model", CORS_ORIGINS=page) as model,
        server_process(tmp_path / "agents", CORS_ORIGINS=page, AGENTS=AGENTS) as agents,
    ):
        await model.ready()
        await agents.ready()
        saw = await used("use_chat.mjs", page, model.url, agents.url, str(PICTURES))
    assert saw["errors"] == []
    asked, answers = saw["talk"]
    assert (len(asked), len(answers)) == (2, 2)
    assert "Paris" in answers[0]
    assert len(saw["cut"]) >= 40
    assert saw["goes_on"]
    assert saw["reloaded"]
    one, other = saw["in_step"]
    assert one == other
    assert saw["grew"]
    assert one.startswith(saw["cut"])
    assert saw["messages"] == [[*asked, "Tell me a long story about a fox, a river and the moon."], 3]
    assert saw["again"] == [3, True]
    assert saw["question"].endswith("The human said: accept.")
    assert saw["tool"] == [
        'Let me look.\n\nsearch {"query":"capital of France"} {"capital": "Paris"}\n\nIt is **Paris**.'
    ]
    assert saw["place"] == "place 0"
    words = saw["words"].split()
    assert words == [f"word{number}" for number in range(len(words))]
    assert len(words) >= 6
    every = [f"word{number}" for number in range(60)]
    assert len(saw["left"].split()) < 60
    assert [saw["whole"][0][-1].split(), saw["whole"][1]] == [every, 1]
