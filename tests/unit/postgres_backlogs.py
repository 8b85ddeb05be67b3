"""A PostgreSQL database with a backlog, and the plans and the price of its statements."""

import re
from collections.abc import Iterator
from typing import Any

import psycopg

from app.models.attempts import Lease
from app.policy.rank import RankPolicy
from app.store.postgres.accept import AcceptWrites
from app.store.postgres.attempts import ClaimWrites, FinishWrites
from app.store.postgres.connection import SETTINGS, connection_parameters
from app.store.postgres.events import EventWrites
from app.store.postgres.migrations import prepare_database
from app.store.postgres.session import Session
from app.store.postgres.watchdog import Watchdog
from app.store.sql.named_sql import load_queries
from tests.clock import TickingClock
from tests.contract.builders import LEASE_SECONDS, WORKER

QUERIES = load_queries("postgres")
AGENTS = ("a", "b", "c")
NOW = 1_700_000_000_000
MESSAGES = 30_000

DELIVERIES = f"""
INSERT INTO deliveries (id, tenant, message_id, url, event, data, state, created_at, next_at)
SELECT
    'm' || i || '.1', 'default', 'm' || i, 'https://example.com/', 'completed', '{{}}',
    CASE i % 10 WHEN 0 THEN 'pending' ELSE 'delivered' END, {NOW} + i, CASE i % 10 WHEN 0 THEN {NOW} + i END
FROM generate_series(1, 10000) AS i
"""

SEED = f"""
INSERT INTO threads (tenant, thread_id, last_number, created_at, last_activity, last_message_preview, unfinished)
SELECT 'default', 't' || i, {MESSAGES}, {NOW} + i / 3, {NOW} + i / 3, 'Hello', 100 FROM generate_series(0, 199) AS i;

INSERT INTO messages (
    id, tenant, thread_id, thread_number, agent, content, priority, base_rank, flow, rank, state, readiness,
    created_at, accepted_at, changed_at
)
SELECT
    'm' || i, 'default', CASE WHEN i % 10 > 0 THEN 't' || (i % 200) END,
    CASE WHEN i % 10 > 0 THEN 1 + i / 200 ELSE 0 END,
    chr(97 + i % 3), 'Hello', 'normal', 1000000000000000 + 1000 * i, '', 1000000000000000 + 1000 * i, 'queued',
    CASE WHEN i % 10 > 0 AND i >= 200 THEN 'blocked' ELSE 'ready' END, {NOW} + i, {NOW} + i, {NOW} + i
FROM generate_series(0, {MESSAGES} - 1) AS i;

INSERT INTO request_keys (tenant, key, fingerprint, receipts, created_at)
SELECT 'default', 'k' || i, 'this request', '[]', {NOW} + i FROM generate_series(1, 10000) AS i;

INSERT INTO aliases (tenant, alias, message_id, first_event)
SELECT 'default', 'a' || i, 'm' || i, 0 FROM generate_series(1, 10000) AS i;

{DELIVERIES};

INSERT INTO items (tenant, namespace, key, created_at, updated_at, expires_at, ttl_ms, value)
SELECT
    'default', E'\\x01n' || i % 100 || E'\\x01', 'k' || i, {NOW}, {NOW} + i,
    CASE WHEN i % 10 = 0 THEN {NOW} + i END, CASE WHEN i % 10 = 0 THEN 1000 END, '{{"n": 1}}'
FROM generate_series(1, 10000) AS i;

INSERT INTO figures (tenant, step, metric, start, agent, priority, label, value)
SELECT 'default', 60, CASE i % 2 WHEN 0 THEN 'accepted' ELSE 'completed' END, {NOW} + i * 60000, 'chat', 'normal', '', 1
FROM generate_series(1, 10000) AS i;

INSERT INTO attempts (message, fence, attempt, worker_id, started_at, ended_at, error, error_code)
SELECT number, 1, 1, 'worker 1', {NOW}, {NOW}, 'It broke.', 'agent_error' FROM messages;
"""
"""Queued messages, a tenth of them without a thread, the others in 180 threads."""

ENDED = f"""
UPDATE messages SET state = 'completed', readiness = NULL, rank = NULL, completed_at = {NOW}, changed_at = {NOW}
WHERE thread_id IN (SELECT 't' || i FROM generate_series(1, 99) AS i) AND thread_number < 140
"""
"""Long histories: most of what was in half of the threads has ended."""


class Seeded:
    """A database with the operations on it, and another connection to it with the same settings."""

    analyzed = False

    def __init__(self, url: str) -> None:
        parameters = connection_parameters(url)
        prepare_database(parameters, allow_volatile=True)
        self.session = Session(parameters, QUERIES, Watchdog())
        clock = TickingClock(NOW + MESSAGES)
        self.accepting = AcceptWrites(self.session, clock, RankPolicy())
        self.logging = EventWrites(self.session, clock)
        self.finishing = FinishWrites(self.session, clock)
        self.claims = ClaimWrites(self.session, clock)
        self.connection = psycopg.connect(parameters, autocommit=True)
        self.connection.execute(SETTINGS)

    def claim(self, limit: int) -> list[Lease]:
        return [each.lease for each in self.claims.claim(WORKER, AGENTS, limit, LEASE_SECONDS)]

    def close(self) -> None:
        self.session.close()
        self.connection.close()

    def plan(self, name: str) -> list[dict[str, Any]]:
        """The nodes of a named query's generic plan, which is the one that is used."""
        numbers: dict[str, str] = {}
        query = re.sub(r"%\((\w+)\)s", lambda m: numbers.setdefault(m[1], f"${len(numbers) + 1}"), QUERIES[name])
        row = self.connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {query}").fetchone()
        assert row is not None
        return list(nodes(row[0][0]["Plan"]))

    def price(self, name: str, **values: Any) -> int:
        """How many pages a named query looks at, with all its triggers. It is undone again."""
        with self.connection.transaction(force_rollback=True), psycopg.ClientCursor(self.connection) as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {QUERIES[name]}", values)
            row = cursor.fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
