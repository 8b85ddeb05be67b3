"""Logs and health of real processes while their database is away."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.postgres_server import PostgresServer
from tests.servers import server_process, until
from tests.valkey_server import ValkeyServer

PROBES = 6
"""Number of probes while the database is away; each may wait some seconds for the agents' memory."""

MOST_LINES = 6
"""Warnings of one outage that is shorter than half a minute: of the store, of hints, of the agents' memory."""

WARNING = re.compile(r"^\S+ \S+ - \S+ - (?:WARNING|ERROR) - .*$", re.MULTILINE)
BACK = "The database can be used again"


@pytest.fixture(params=[PostgresServer, ValkeyServer])
def engine(request: pytest.FixtureRequest) -> Iterator[PostgresServer | ValkeyServer]:
    with request.param() as server:
        yield server


async def test_an_outage_is_told_once_and_so_is_its_end(tmp_path: Path, engine: PostgresServer | ValkeyServer) -> None:
    with server_process(tmp_path, DATABASE_URL=engine.url, AGENTS="plain=tests.graphs:plain_state") as server:
        await server.ready()
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=30) as client:
            if isinstance(engine, PostgresServer):
                await probe_a_frozen_database(client, engine)
                await server.ready()
            before = len(server.output)
            engine.stop()
            told: list[dict[str, Any]] = []

            async def is_probed() -> bool:
                reply = await client.get("/health/ready")
                if reply.status_code == 503:
                    told.append(reply.json()["checks"])
                return len(told) >= PROBES

            await until(is_probed, "the probes were answered")
            lines = WARNING.findall(server.output[before:])
            assert 1 <= len(lines) <= MOST_LINES, "\n".join(lines)
            assert BACK not in server.output
            details = [check["detail"] for checks in told for check in checks.values()]
            assert "The database is busy, away or out of space." in details
            assert not [each for each in details if "send it again" in each]
            engine.start()
            await until(lambda: BACK in server.output, "the log tells that the database is back")
            await server.ready()
            assert server.output.count(BACK) == 1
    assert not re.search(r"(\bThe [^:]*\.): \1", server.output), "an error that repeats itself"


async def probe_a_frozen_database(client: httpx2.AsyncClient, engine: PostgresServer) -> None:
    """Check that a probe does not wait for a database that takes connections and answers nothing."""

    async def is_healthy() -> bool:
        return bool((await client.get("/health")).json()["status"] == "healthy")

    await until(is_healthy, "the agents are loaded, so that their memory is probed too")
    engine.freeze()
    try:
        checks = (await client.get("/health")).json()["checks"]
    finally:
        engine.thaw()
    for name in ("store", "memory"):
        assert checks[name] == {"ok": False, "detail": "No answer within 2 seconds."}
