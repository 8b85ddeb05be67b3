"""Long answers: storing megabytes takes no lease, neither that of their own message nor those of others."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.events.writer import MAX_APPEND_LENGTH, MAX_CHUNK_LENGTH, EventWriter
from app.models.attempts import Lease
from app.models.events import NewEvent
from app.models.parts import Part
from tests import wire
from tests.graph_control import GraphControl
from tests.integration.test_engines import submit
from tests.servers import ServerProcess, server_process, until

LETTERS = 500_000
"""Each is six bytes of JSON: three megabytes."""

REPORTS = 3


async def status(server: ServerProcess, message: str) -> dict[str, object]:
    return dict((await wire.request(server.url, "GET", f"/messages/{message}/status")).json())


async def run_reports(server: ServerProcess, control: GraphControl) -> None:
    control.hold("second")
    await server.ready()
    steady = (await submit(server, agent="steps")).json()["message_id"]
    await until(lambda: control.waits("second"), "a run that lasts")
    reports = [
        (await submit(server, message=str(LETTERS), agent="reports")).json()["message_id"] for _ in range(REPORTS)
    ]

    async def have_ended() -> bool:
        return all([(await status(server, each))["completed_at"] for each in reports])

    await until(have_ended, "the reports end", 60)
    for report in reports:
        told = await status(server, report)
        assert (told["state"], told["attempt"]) == ("completed", 1), (told["error"], server.output)
        assert told["result"] == "\u00e9" * LETTERS
    control.release("second")
    await until(lambda: _is_completed(server, steady), "the other run ends")
    assert (await status(server, steady))["attempt"] == 1
    assert "Lease lost" not in server.output
    assert "No heartbeat" not in server.output


async def _is_completed(server: ServerProcess, message: str) -> bool:
    return (await status(server, message))["state"] == "completed"


def environment(control: GraphControl) -> dict[str, str]:
    return {
        "AGENTS": "steps=tests.graphs:steps,reports=tests.graphs:reports",
        "LEASE_SECONDS": "2",
        "WORKER_CONCURRENCY": str(REPORTS + 1),
        **control.environment,
    }


async def test_long_answers_cost_no_lease(tmp_path: Path, database: dict[str, str]) -> None:
    control = GraphControl(tmp_path)
    with server_process(tmp_path, **database, **environment(control)) as server:
        await run_reports(server, control)


async def test_long_answers_cost_no_lease_in_memory(tmp_path: Path) -> None:
    control = GraphControl(tmp_path)
    with server_process(tmp_path, DATABASE_URL="sqlite:///:memory:", **environment(control)) as server:
        await run_reports(server, control)


class Appends:
    """A log that remembers how long each append was."""

    def __init__(self) -> None:
        self.events: list[NewEvent] = []
        self.lengths: list[int] = []

    async def append(self, lease: Lease, events: Sequence[NewEvent]) -> int:
        """Keep the events and the length of their data."""
        self.events += events
        self.lengths.append(sum(len(event.data) for event in events))
        return len(self.events)


@pytest.mark.parametrize("letter", ["x", "\u00e9"])
async def test_what_is_written_at_once_is_bounded(letter: str) -> None:
    log = Appends()
    writer = EventWriter(log, Lease("m", 1, 1, "w"))  # type: ignore[arg-type]  # only its appends
    part = Part("content", letter * 1_000_000)
    await writer.write(part)
    await writer.drain()
    assert max(log.lengths) <= MAX_APPEND_LENGTH
    assert len(log.events) == -(-1_000_000 // MAX_CHUNK_LENGTH)
