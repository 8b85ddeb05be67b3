"""A SQLite database with a backlog, and the price of what is done to it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from app.models.attempts import Completed, Lease, Released
from app.models.events import NewEvent
from app.policy.rank import RankPolicy
from app.store.sql.named_sql import load_queries
from app.store.sqlite.accept import AcceptWrites
from app.store.sqlite.attempts import AttemptWrites
from app.store.sqlite.changes import Writing
from app.store.sqlite.connection import connect, migrate, transaction
from app.store.sqlite.control import ControlWrites
from app.store.sqlite.erasures import ErasureWrites
from app.store.sqlite.events import EventWrites
from app.store.sqlite.upkeep import UpkeepWrites
from tests.clock import TickingClock
from tests.contract.builders import LEASE_SECONDS, WORKER

QUERIES = load_queries("sqlite")
AGENTS = ("a", "b", "c")


SEED = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
INSERT INTO threads (tenant, thread_id, last_number, created_at, last_activity, last_message_preview)
SELECT 'default', 't' || i, 100, :now + i / 3, :now + i / 3, 'Hello' FROM n;

WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
INSERT INTO messages (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, state, readiness,
    created_at, accepted_at, changed_at
)
SELECT
    'm' || i, 'default', iif(i % 10, 't' || (i % 200), NULL), iif(i % 10, 1 + i / 200, 0), char(97 + i % 3), 'Hello',
    'normal', 1000000000000000 + 1000 * i, '', 1000000000000000 + 1000 * i, 'queued',
    iif(i % 10 AND i >= 200, 'blocked', 'ready'), :now + i, :now + i, :now + i
FROM n;
"""
"""20,000 queued messages, a tenth of them without a thread, the others in 180 threads."""


class Operations(AcceptWrites, AttemptWrites, ControlWrites, EventWrites, UpkeepWrites, ErasureWrites):
    """A connection whose statements are measured."""


class Seeded:
    """A database with a backlog, and the operations on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path)
        migrate(self.connection)
        self.clock = TickingClock(1_700_000_000_000)
        self.operations = Operations(Writing(lambda: self.connection, QUERIES, RankPolicy(), self.clock))

    @property
    def time(self) -> int:
        return self.clock.milliseconds

    def seed(self) -> None:
        """Messages of every state: queued, most behind others of their threads, delayed, running, ended."""
        with transaction(self.connection, "IMMEDIATE"):
            self.connection.execute(SEED, {"now": self.time - 20_000})
            for lease in self.claim(500):
                self.operations.append(lease, [NewEvent.chunk("content", "x", 0)] * 3)
                self.operations.finish(lease, Completed("done"))
            for lease in self.claim(350)[:50]:
                self.operations.finish(lease, Released("later", delay=3_600))

    def claim(self, limit: int) -> list[Lease]:
        return [each.lease for each in self.operations.claim(WORKER, AGENTS, limit, LEASE_SECONDS)]

    def plan(self, name: str) -> list[str]:
        """The steps of a named query's plan."""
        values = dict.fromkeys(re.findall(r":(\w+)", QUERIES[name]), 1)
        return [row[3] for row in self.connection.execute(f"EXPLAIN QUERY PLAN {QUERIES[name]}", values)]

    def price(self, work: Callable[[], object]) -> int:
        """How many instructions SQLite runs for this, all statements and triggers together. It is undone again."""
        steps: dict[str, int] = {}

        def count(event: dict[str, Any]) -> None:
            steps[event["sql"]] = event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]  # since it was prepared

        used, self.connection = self.connection, connect(self.path)  # on which nothing was prepared before
        self.connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, count)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            work()
        finally:
            self.connection.execute("ROLLBACK")
            self.connection.close()
            self.connection = used
        return sum(steps.values())
