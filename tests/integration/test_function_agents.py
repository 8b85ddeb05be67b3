"""An agent that is a plain function, served by a process of its own."""

from pathlib import Path
from typing import Any

import httpx2

from tests.servers import DEADLINE_SECONDS, cold_server_process, server_process

FUNCTIONS = """
import sys


async def modules(text: str) -> str:
    return f"{text}: {[name for name in sys.modules if name.startswith('lang')]}"


async def words(text: str):
    for word in text.split():
        yield word


async def failing(text: str, message_id: str) -> str:
    raise ValueError(message_id)


async def bare(text):
    return text
"""


async def test_functions_answer_without_langgraph_and_can_be_purged(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    agents = ",".join(f"{name}=functions:{name}" for name in ("modules", "words", "failing"))
    with cold_server_process(tmp_path, AGENTS=agents, MAX_ATTEMPTS="1") as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:

            async def ask(agent: str) -> dict[str, Any]:
                body = {"message": "Loaded are", "agent": agent}
                reply = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
                assert reply.status_code == 200, reply.text
                return dict(reply.json())

            assert (await ask("modules"))["result"] == "Loaded are: []"
            assert (await ask("words"))["result"] == "Loadedare"
            failed = await ask("failing")
            assert (failed["error_code"], failed["message_id"] in str(failed["error"])) == ("agent_error", True)
            purged = await client.post("/dead-letters/purge", json={"message_ids": [failed["message_id"]]})
            assert (purged.status_code, purged.json()) == (200, {"purged": [failed["message_id"]]}), server.output


async def test_a_function_without_annotation_fails_its_messages_with_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    with server_process(tmp_path, AGENTS="bare=functions:bare", MAX_ATTEMPTS="1") as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:
            reply = await client.post("/messages", json={"message": "Hi"}, headers={"Prefer": "wait=30"})
    failed = reply.json()
    assert failed["error_code"] == "agent_unavailable"
    assert "a value of the type `dict`" in failed["error"]
    assert "needs the annotation `-> str`" in failed["error"]
