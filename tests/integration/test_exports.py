"""Exports of the command line: whole, imported once, and with what agents remember."""

import asyncio
import json
import os
from pathlib import Path

import httpx2
import pytest

from tests import postgres_server
from tests.graph_control import FOLDER_VARIABLE
from tests.integration.backups import (
    AGENTS,
    agentq,
    backup,
    contents,
    question_from,
    queue,
    refusal,
    submit,
    succeeds,
    with_programs_of_postgres,
)
from tests.servers import DEADLINE_SECONDS, server_process, until

__all__ = ["backup", "queue", "with_programs_of_postgres"]


# Exports


def test_an_export_is_a_file_or_standard_output(backup: Path, queue: Path, tmp_path: Path) -> None:
    succeeds("restore", backup)
    assert succeeds("export", "out.jsonl") == {"file": "out.jsonl", "records": 1}
    assert refusal("export", "out.jsonl") == "file_exists"
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    printed = agentq("export")
    assert printed.output.splitlines()[1:] == lines[1:]  # the first line has the time
    assert [each.name for each in tmp_path.glob("*out*")] == ["out.jsonl"]


def test_an_export_is_imported_whole_or_not_at_all(
    backup: Path, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeds("restore", backup)
    succeeds("export", "out.jsonl")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    (tmp_path / "cut.jsonl").write_bytes((tmp_path / "out.jsonl").read_bytes()[:-20])
    assert refusal("import", "cut.jsonl") == "export_damaged"
    assert refusal("import", "missing.jsonl") == "file_unusable"
    assert refusal("import", backup) == "export_damaged"
    assert not (tmp_path / "other.db").exists()
    assert [succeeds("import", "out.jsonl")["added"] for _ in range(2)] == [1, 0]
    assert contents(tmp_path / "other.db") == ["kept"]


def _move_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export the queue with the memory, and import it into PostgreSQL twice."""
    exported = succeeds("export", "all.jsonl")["records"]
    assert succeeds("export", "none.jsonl", "--no-memory")["records"] < exported
    of_thread = [json.loads(line) for line in agentq("export", "--thread", "t", "--memory").output.splitlines()]
    assert {each["kind"] for each in of_thread[1:]} == {"thread", "message", "memory", "end"}
    of_thread = [json.loads(line) for line in agentq("export", "--thread", "t").output.splitlines()]
    assert {each["kind"] for each in of_thread[1:]} == {"thread", "message", "end"}
    monkeypatch.setenv("DATABASE_URL", postgres_server.database_of(tmp_path))
    assert [succeeds("import", "all.jsonl")["added"] > 0 for _ in range(2)] == [True, False]


async def test_agents_remember_what_was_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports have those of a message that asks, too, and of one without a thread."""
    environment = {"AGENTS": f"{AGENTS},approving=tests.graphs:approving", FOLDER_VARIABLE: str(tmp_path)}
    monkeypatch.setenv("ALLOW_VOLATILE", "true")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/old.db")
    with server_process(tmp_path, **environment, DATABASE_URL=os.environ["DATABASE_URL"]) as server:
        await server.ready()
        await submit(server, "one", thread_id="t", agent="steps")
        asking = [await question_from(server, **fields) for fields in ({"thread_id": "asking"}, {})]
    await asyncio.to_thread(_move_all, tmp_path, monkeypatch)
    environment["ALLOW_VOLATILE"] = "true"
    with server_process(tmp_path, **environment, DATABASE_URL=os.environ["DATABASE_URL"]) as server:
        await server.ready()
        assert "one | two" in await submit(server, "two", thread_id="t", agent="steps")
        async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:
            for message_id in asking:
                await client.post(f"/messages/{message_id}/resume", json={"value": "yes"})

            async def all_end() -> bool:
                replies = [(await client.get(f"/messages/{each}/status")).json() for each in asking]
                return [each["state"] for each in replies] == ["completed"] * len(asking)

            await until(all_end, "both messages go on with the answer")
