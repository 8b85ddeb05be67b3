"""The protocol's own conformance tests: all that concern readers pass on the product's readers.

They write the streams that they read, so a mount for tests alone takes the writes, see `tests.writable_streams`.
"""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.protocols import SURFACES
from tests import writable_streams
from tests.integration.conftest import Serve
from tests.node_packages import installed, program
from tests.servers import ROOT

FOLDER = ROOT / "tests" / "durable_streams"
DEADLINE_SECONDS = 150

BY_WRITERS = "It is about the reply to a write. This server's streams have no writes."
NOT_FOR_READERS: dict[str, tuple[str, ...]] = {
    "Forks are made by a write, and read like other streams.": ("Fork - ",),
    "A stream's time to live is set by a write. Logs are kept for `EVENT_RETENTION_HOURS`.": (
        "TTL ",
        "HEAD Metadata Edge Cases ",
    ),
    "Producers are writers.": ("Idempotent Producer Operations ", "Stream Closure Idempotent Producers "),
    "Subscriptions are no part of the protocol for readers. This server has webhooks of its own.": (
        "Reserved subscription APIs ",
    ),
    "Binary streams are sent as Base64. This server's streams are JSON.": (
        "SSE Mode base64 SSE catch-up",
        "SSE Mode should auto-detect b",
        "SSE Mode should include Stream-SSE-Data-Encoding",
        "SSE Mode should base64 encode",
        "SSE Mode should handle empty binary",
        "SSE Mode should handle large binary",
        "SSE Mode should handle binary data",
        "SSE Mode should handle offset=now with auto-detected base64",
    ),
    BY_WRITERS: (
        "Basic Stream Operations ",
        "Append Operations ",
        "Case-Insensitivity ",
        "Content-Type Validation should enforce",
        "Content-Type Validation should allow",
        "HTTP Protocol should return correct headers on P",
        "HTTP Protocol should return 2",
        "HTTP Protocol should return 4",
        "HTTP Protocol should enforce",
        "HTTP Protocol should allow",
        "HTTP Protocol should reject",
        "Browser Security Headers should include X-Content-Type-Options: nosniff on P",
        "Protocol Edge Cases should reject empty POST",
        "Protocol Edge Cases should enforce",
        "Protocol Edge Cases should return Location",
        "Protocol Edge Cases should reject missing Content-Type",
        "Protocol Edge Cases should accept PUT",
        "Chunking and Large Payloads should handle large payload",
        "JSON Mode should reject",
        "Property-Based Tests (fast-check) Sequence Ordering",
        "Property-Based Tests (fast-check) Concurrent Writer Stress Tests concurrent writers",
        "Stream Closure Create with Stream-Closed ",
        "Stream Closure Close Operations ",
        "Stream Closure Edge Cases 409",
        "Stream Closure Edge Cases close-",
        "Stream Closure Edge Cases delete-",
        "Stream Closure Edge Cases producer-",
        "Stream Closure Edge Cases empty-post",
    ),
}
"""By the reason, the beginnings of the names of the tests that do not concern readers."""

LEFT_OUT = tuple(begin for begins in NOT_FOR_READERS.values() for begin in begins)


def escaped(text: str) -> str:
    """The text as a pattern of JavaScript."""
    return re.sub(r"[.*+?^${}()|[\]\\]", r"\\\g<0>", text)


async def test_all_tests_of_the_protocol_that_concern_readers_pass(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await asyncio.to_thread(installed, FOLDER)
    monkeypatch.setattr("app.main.SURFACES", (*SURFACES, writable_streams.SURFACE))
    server = await serve(
        database_url="memory://", worker_concurrency=0, keepalive_interval=1, cors_origins=["https://example.com"]
    )
    server.uvicorn.config.timeout_keep_alive = 60  # a test keeps Node.js busy for seconds, which then uses a closed one
    report = tmp_path / "report.json"
    wanted = f"^(?!{'|'.join(map(escaped, LEFT_OUT))})"
    command = [program(FOLDER, "vitest"), "run", "--reporter=json", f"--outputFile={report}", "-t", wanted]
    environment = {**os.environ, "DURABLE_STREAMS_URL": f"{server.url}{writable_streams.PREFIX}"}
    await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    ran = [each for file in json.loads(report.read_text())["testResults"] for each in file["assertionResults"]]
    failed = {each["fullName"]: each["failureMessages"] for each in ran if each["status"] == "failed"}
    assert failed == {}
    passed = {each["fullName"] for each in ran if each["status"] == "passed"}
    left_out = {each["fullName"] for each in ran if each["status"] != "passed"}
    assert left_out == {each["fullName"] for each in ran if each["fullName"].startswith(LEFT_OUT)}
    assert len(passed) >= 100
    for begin in LEFT_OUT:
        assert any(name.startswith(begin) for name in left_out), f"no test begins with {begin!r}"
