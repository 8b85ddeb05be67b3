"""The control: the application without its fences. A checker that finds nothing in such a run is worth nothing.

`remove_fences` is called in a process before the application starts in it; it changes what was loaded there.
"""

import sys
from collections.abc import Mapping
from typing import Any

from app.checkpoints.sqlite import FencedSqliteSaver
from app.store import named_sql
from app.worker import QueueWorker

QUERIES = {
    "sqlite": {
        "find_leased": "SELECT number FROM messages WHERE id = :id",
        "find_ended": "SELECT 1 FROM messages WHERE 0",
        "extend_leases": """
            UPDATE messages SET lease_until = :lease_until FROM json_each(:leases) AS named
            WHERE messages.id = named.key RETURNING messages.id, named.value
        """,
    },
}
"""By dialect, the guards of a worker's writes with neither fence nor state."""


def remove_fences() -> None:
    """From the stores, the agents' memory, and the worker's own belief."""
    load = named_sql.load_queries

    def unguarded(dialect: str) -> Mapping[str, str]:
        return {**load(dialect), **QUERIES[dialect]}

    for module in list(sys.modules.values()):
        if getattr(module, "load_queries", None) is load:
            module.load_queries = unguarded  # type: ignore[attr-defined]
    for owner, method in (
        (FencedSqliteSaver, "_hold"),
        (QueueWorker, "on_beat"),
        (QueueWorker, "on_silence"),
    ):
        setattr(owner, method, _nothing_async if method == "_hold" else _nothing)


def _nothing(*_: Any) -> None:
    pass


async def _nothing_async(*_: Any) -> None:
    pass
