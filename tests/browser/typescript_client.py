"""A page with the TypeScript client and a token of an end user, in a real Chromium: `make browsers`."""

import functools
import shutil
import subprocess
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from agentq_client import AgentQ

from tests.browser.agent_chat_ui import DEADLINE_SECONDS, FOLDER, QuietHandler
from tests.browser.use_chat import used
from tests.node_packages import built, installed, node
from tests.openai_stub import openai_stub_in_thread
from tests.servers import ROOT, server_process

CLIENT = ROOT / "clients" / "typescript"
WORDS = "run says " + " ".join(f"word{number}" for number in range(100))


def build(to: Path) -> None:
    """Make the folder of the page."""
    installed(FOLDER)
    built(CLIENT)
    shutil.copy(FOLDER / "use_chat.html", to)
    options = ["--bundle", "--minify", "--jsx=automatic", '--define:process.env.NODE_ENV="production"']
    aliases = [f"--alias:agentq-client={CLIENT / 'dist'}", f"--alias:react={FOLDER / 'node_modules' / 'react'}"]
    command = [node("npx"), "esbuild", "typescript_client_page.jsx", *options, *aliases, f"--outfile={to / 'page.js'}"]
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=DEADLINE_SECONDS)


async def test_a_page_that_is_cut_and_reloaded(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    build(tmp_path / "page")
    handler = functools.partial(QuietHandler, directory=tmp_path / "page")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages, openai_stub_in_thread() as stub:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{pages.server_address[1]}"
        model = {"OPENAI_BASE_URL": stub.base_url, "OPENAI_API_KEY": "sk-test"}
        with server_process(tmp_path, CORS_ORIGINS=page, **model) as server:
            await server.ready()
            with AgentQ(server.url) as backend:
                token = backend.tokens.create(subject="user-42").token
            saw = await used("typescript_client.mjs", page, server.url, token, f"#delay 0.05 {WORDS}")
        pages.shutdown()
    assert saw["errors"] == []
    assert saw["last"] == WORDS
    assert saw["reconnected"]
    for seen in ("first", "after_the_cut", "after_the_reload"):
        assert WORDS.startswith(saw[seen])
    assert saw["messages"] == 1
