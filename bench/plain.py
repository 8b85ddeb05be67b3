"""Plain loops with the store's statements for claims and finishes, without the store's threads, models and hints.

Each loop sends what the store sends for messages without a thread: the same statements in the same transactions. The
texts of events are constants here; the store has to make them.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from app.store.rows import MESSAGE_COLUMNS
from app.store.sql.named_sql import load_queries

NUMBER, ID, FENCE = map(MESSAGE_COLUMNS.index, ("number", "id", "fence"))
WORKER = "plain"
AGENT = "chat"
LEASE_MILLISECONDS = 3_600_000
PROCESSING = '{"state": "processing", "attempt": 1}'
DONE = '{"state": "completed", "result": "", "completed_at": "2026-01-01T00:00:00.000Z"}'

Held = tuple[str, int]
"""The id and the fence of a claimed message."""

Step = tuple[str, dict[str, Any]]
"""The name of a query, and its values."""


class Plain(Protocol):
    """A plain loop over a database driver."""

    def claim(self, calls: int, limit: int) -> list[Held]:
        """Make `calls` claims of up to `limit` messages each."""

    def finish(self, held: Sequence[Held]) -> None:
        """Complete the messages, as many at a time as the store would."""


@contextmanager
def plain(url: str) -> Iterator[Plain]:
    """Yield the loop for a database that the store has opened before."""
    kind, _, rest = url.partition("://")
    if kind == "sqlite":
        with PlainSqlite.on(Path(rest.removeprefix("/"))) as sqlite:
            yield sqlite
    elif kind == "postgresql":
        with PlainPostgres.on(url) as postgres:
            yield postgres
    else:
        with PlainRedis.on(url) as redis:
            yield redis


def _now() -> int:
    return time.time_ns() // 1_000_000


class PlainSqlite:
    """A loop over APSW. All claims of a call are one transaction, and so are all finishes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._queries = load_queries("sqlite")

    @classmethod
    @contextmanager
    def on(cls, path: Path) -> Iterator["PlainSqlite"]:
        """Open this file with the store's settings."""
        from app.store.sqlite.connection import connect

        with closing(connect(path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            yield cls(connection)

    def _run(self, query: str, **values: Any) -> Any:
        return self._connection.execute(self._queries[query], values)

    def claim(self, calls: int, limit: int) -> list[Held]:
        """Make all claims in one transaction."""
        execute, executemany, held = self._connection.execute, self._connection.executemany, []
        execute("BEGIN IMMEDIATE")
        for _ in range(calls):
            assert self._run("claim_state").fetchall() == [(0, 0)]
            found = self._run("find_ready", agent=AGENT, version="", limit=limit).fetchall()
            now = _now()
            until = now + LEASE_MILLISECONDS
            rows = executemany(
                self._queries["claim"],
                [{"number": number, "worker_id": WORKER, "lease_until": until, "now": now} for _, number in found],
            ).fetchall()
            executemany(
                self._queries["add_event"],
                [
                    {"message": row[NUMBER], "id": row[-1] + 1, "type": "processing", "data": PROCESSING, "now": now}
                    for row in rows
                ],
            )
            held += [(row[ID], row[FENCE]) for row in rows]
        self._hint()
        execute("COMMIT")
        return held

    def finish(self, held: Sequence[Held]) -> None:
        """Complete all messages in one transaction."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for message_id, fence in held:
            now = _now()
            ((number, *_, last),) = self._run(
                "end_leased", id=message_id, fence=fence, state="completed", result="", output=None, error=None,
                error_code=None, fingerprint=None, fence_step=0, crashed=0, now=now,
            )  # fmt: skip
            self._run("add_event", message=number, id=last + 1, type="done", data=DONE, now=now)
        self._hint()
        execute("COMMIT")

    def _hint(self) -> None:
        self._run("add_hint", process=WORKER, topics="[]")


class PlainPostgres:
    """A loop over psycopg with pipelines. Claims and finishes have a connection each.

    Each claim is a transaction. All finishes of a call are one transaction.
    """

    def __init__(self, claiming: Any, finishing: Any) -> None:
        self._claiming = claiming
        self._finishing = finishing
        self._queries = load_queries("postgres")
        self._commits = 0

    @classmethod
    @contextmanager
    def on(cls, url: str) -> Iterator["PlainPostgres"]:
        """Connect with the store's settings."""
        from app.store.postgres.connection import configure, connect, connection_parameters

        parameters = connection_parameters(url)
        with connect(parameters) as claiming, connect(parameters) as finishing:
            configure(claiming)
            configure(finishing)
            yield cls(claiming, finishing)

    def _run(self, connection: Any, *steps: Step) -> list[Any]:
        with connection.pipeline():
            cursors = [connection.execute(self._queries[query], values) for query, values in steps]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def _commit(self, connection: Any, session: str, *last: Step) -> None:
        self._commits += 1
        self._run(connection, *last, ("mark_commit", {"session": session, "number": self._commits}), ("commit", {}))

    def claim(self, calls: int, limit: int) -> list[Held]:
        """Make each claim in a transaction of its own."""
        held = []
        for _ in range(calls):
            now = time.time_ns() // 1_000_000
            values = {
                "agents": [AGENT], "wanted": [""], "own": [""], "limit": limit, "worker_id": WORKER,
                "lease_milliseconds": LEASE_MILLISECONDS, "now": now, "running": 0,
            }  # fmt: skip
            _, rows = self._run(self._claiming, ("begin_write", {}), ("claim", values))
            events = self._events([row[NUMBER] for row in rows], "processing", PROCESSING, now)
            self._commit(self._claiming, "plain claims", events)
            held += [(row[ID], row[FENCE]) for row in rows]
        return held

    def finish(self, held: Sequence[Held]) -> None:
        """Complete all messages in one transaction."""
        ids, fences = [each for each, _ in held], [fence for _, fence in held]
        _, [(now,)], _, rows = self._run(
            self._finishing, ("begin_write", {}), ("read_clock", {}), ("lock_threads", {"ids": ids}),
            ("lock_leased", {"ids": ids, "fences": fences}),
        )  # fmt: skip
        numbers = [row[NUMBER] for row in rows]
        nothing = [None] * len(rows)
        values = {
            "numbers": numbers, "states": ["completed"] * len(rows), "results": [""] * len(rows), "errors": nothing,
            "error_codes": nothing, "fingerprints": nothing, "outputs": nothing, "raise_fence": False, "crashed": 0,
            "now": now,
        }  # fmt: skip
        events = self._events(numbers, "done", DONE, now)
        self._commit(self._finishing, "plain finishes", ("end_messages", values), events)

    def _events(self, numbers: Sequence[int], kind: str, data: str, now: int) -> Step:
        length = len(numbers)
        values = {"messages": numbers, "types": [kind] * length, "data": [data] * length, "now": now}
        return "add_next_events", values


class PlainRedis:
    """A loop over redis-py with hiredis. Each call is one pipeline of script calls, as the store makes them."""

    def __init__(self, client: Any) -> None:
        from app.store.redis import templates
        from app.store.redis.scripts import load_scripts

        self._client = client
        self._turn = 0
        self._scripts = load_scripts()
        self._processing, self._cancelled = templates.PROCESSING, templates.CANCELLED
        for script in self._scripts.values():
            client.script_load(script.text)

    @classmethod
    @contextmanager
    def on(cls, url: str) -> Iterator["PlainRedis"]:
        """Connect with the store's options."""
        import redis

        from app.store.redis.connection import connection_options

        with redis.Redis(**connection_options(url)) as client:
            yield cls(client)

    def _run(self, script: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        from app.store.redis.command_pipeline import MAX_CALL

        self._turn += 1
        keys = ("{agent_queue}", f"{{agent_queue}}:process:{WORKER}")
        pipeline = self._client.pipeline(transaction=False)
        for first in range(0, len(calls), MAX_CALL):
            together = [part for each in calls[first : first + MAX_CALL] for part in (len(each), *each)]
            pipeline.evalsha(self._scripts[script].sha, len(keys), *keys, self._turn, first, *together)
        return [reply for replies in pipeline.execute() for reply in replies]

    def claim(self, calls: int, limit: int) -> list[Held]:
        """Make all claims in one pipeline."""
        call = ("", WORKER, limit, LEASE_MILLISECONDS, self._processing, 0, AGENT, "", "")
        return [(row[ID], int(row[FENCE])) for rows, _ in self._run("claim", [call] * calls) for row in rows]

    def finish(self, held: Sequence[Held]) -> None:
        """Complete all messages in one pipeline."""
        from app.store.limits import THROUGHPUT_MESSAGES

        how = (self._cancelled, "completed", f"done {DONE}", "", THROUGHPUT_MESSAGES, "")
        replies = self._run("finish", [("", message_id, fence, *how) for message_id, fence in held])
        assert all(reply == 1 for reply in replies), replies
