"""LangSmith gets runs only if its variables ask for that; their metadata names the message and its conversation."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.openai_stub import StubServer
from tests.servers import server_process, until


class LangSmith:
    """Keeps the bodies of requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[bytes] = []


@pytest.fixture
def langsmith() -> Iterator[LangSmith]:
    """Stands in for LangSmith, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(json.dumps({"version": "0.1", "instance_flags": {}}).encode())

        def do_POST(self) -> None:
            found.received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"{}")

        def _answer(self, body: bytes) -> None:
            self.send_response(202 if self.command != "GET" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = LangSmith(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("wanted", [True, False])
async def test_langsmith_gets_runs_if_its_variable_says_so(
    tmp_path: Path, model: StubServer, langsmith: LangSmith, wanted: bool
) -> None:
    environment = {
        "LANGSMITH_ENDPOINT": langsmith.url,
        "LANGSMITH_API_KEY": "lsv2-key",
        "LANGSMITH_DISABLE_RUN_COMPRESSION": "true",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "sk-test",
        **({"LANGSMITH_TRACING": "true"} if wanted else {}),
    }
    with server_process(tmp_path, **environment) as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
            given = {"message": "Hello", "thread_id": "t"}
            reply = await client.post("/messages", json=given, headers={"Prefer": "wait=30"})
            message_id = reply.json()["message_id"]
        if wanted:
            named = (f'"run_id":"{message_id}"'.encode(), b'"thread_id":"default/thread/t"')
            await until(
                lambda: all(any(each in body for body in langsmith.received) for each in named), "the run comes"
            )
        assert server.terminate() == 0
        assert "lsv2-key" not in server.output
    assert bool(langsmith.received) is wanted
