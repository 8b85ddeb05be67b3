"""Short runs for every change; `make chaos` runs long. CHAOS_SECONDS and CHAOS_SEED say how long and which."""

import functools
import os
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.store.terminal_states import WORKER_LOST
from tests.chaos.backends import BACKENDS
from tests.chaos.clients import Clients
from tests.chaos.cluster import cluster
from tests.chaos.history import History, check, story
from tests.chaos.run import collect, run
from tests.chaos.unfenced import finish_late, remove_fences
from tests.servers import until

SECONDS = {"sqlite": 20.0, "postgres": 60.0, "valkey": 60.0}
"""On SQLite, workers without fences break something in each run of 20 s; on the others, in about half of them."""

RESTART_SECONDS = 8.0
SEED = os.environ.get("CHAOS_SEED") or str(time.time_ns())


def _keep_one_turn() -> None:
    os.environ["CHECKPOINT_HISTORY"] = "1"


@pytest.mark.parametrize("backend", BACKENDS)
async def test_nothing_breaks_while_processes_are_killed_stopped_and_drained(backend: str, tmp_path: Path) -> None:
    """Each turn prunes all but one. Every answer says what the agent remembers, and `RECITE` recites all of it."""
    seconds = float(os.environ.get("CHAOS_SECONDS", SECONDS[backend]))
    report = await run(backend, tmp_path, seconds=seconds, seed=SEED, tamper=_keep_one_turn)
    assert not report.violations, str(report)
    assert report.faults["kill"] > 0
    assert any(message["state"] == "completed" for message in report.history.stored.messages.values()), str(report)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_restarts_under_load_lose_and_double_nothing_and_spend_no_attempt(backend: str, tmp_path: Path) -> None:
    """Every process is drained again and again, as a rolling restart does it; what ran goes on where it was."""
    report = await run(backend, tmp_path, seconds=RESTART_SECONDS, seed=SEED, kinds=["terminate"])
    assert not report.violations, str(report)
    assert report.faults["terminate"] > 0
    stored = report.history.stored
    lost = {message_id for message_id, log in stored.logs.items() if WORKER_LOST in str(log)}  # a machine too busy
    spent = {message_id: message for message_id, message in stored.messages.items() if message["attempt"] > 1}
    assert not spent.keys() - lost, "\n".join([str(report), *(story(report.history, spender) for spender in spent)])


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_checker_finds_what_workers_without_fences_break(backend: str, tmp_path: Path) -> None:
    """The control. A worker loses its message to another one, which ends it, and then ends it too.

    Of workers that are stopped at random, some lose no message, and some wake up to a connection that is gone: such a
    run may break nothing of what it should. Here the second end is certain, and it is outside of any attempt.
    """
    sign = tmp_path / "finish"
    async with cluster(backend, tmp_path) as running:
        api = running.add("api", "api", slots=0)
        running.add("worker", "late", slots=1, tamper=functools.partial(finish_late, sign))
        clients = Clients([api.url], SEED)
        try:
            await clients.answered_by(api)
            message_id = await clients.submit("Hello", "t", random=Random(SEED), agent="brief")

            async def answered() -> bool:
                return any(event["type"] == "chunk" for event in await events_of(clients, api.url, message_id))

            async def ended(times: int) -> bool:
                events = await events_of(clients, api.url, message_id)
                return [event["type"] for event in events].count("done") == times

            await until(answered, "the worker that will be late has the message")
            running.add("worker", "other", slots=1, tamper=remove_fences)
            await until(lambda: ended(1), "another worker ends it")
            sign.touch()
            await until(lambda: ended(2), "the first worker ends it too")
            violations = check(History(clients.seen, await collect(clients)))
        finally:
            await clients.close()
    assert {"I3", "I4"} <= {violation.invariant for violation in violations}, violations


async def events_of(clients: Clients, url: str, message_id: str | None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await clients.get(url, f"/messages/{message_id}/events"))["events"]
    return events
