"""The control: the application without its fences. A checker that finds nothing in such a run is worth nothing.

`remove_fences` is called in a process before the application starts in it; it changes what is loaded there.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import app.agents.langgraph
from app import bootstrap
from app.config import Settings
from app.models.attempts import Lease, Outcome
from app.store import factory
from app.store.ports import Store
from app.store.sql import named_sql
from app.worker import QueueWorker
from tests.servers import until

LOCKED = """messages.fence, messages.cancel_requested,
messages.webhook_url, messages.webhook_events, messages.receivers,
coalesce((SELECT running FROM tenants WHERE tenants.tenant = messages.tenant), 0) > 0
FROM unnest"""
"""The columns of the messages that an attempt locks on PostgreSQL."""

GUARDS = {
    "sqlite": {" AND fence = :fence AND state = 'processing'": ""},
    "postgres": {
        " AND messages.fence = lease.fence AND messages.state = 'processing'": "",
        "messages.fence\nFROM unnest": "lease.fence\nFROM unnest",
        # what is locked is told apart by the fence that is held, not by the message's own
        LOCKED: LOCKED.replace("messages.fence", "lease.fence"),
    },
    "redis": {
        "held[1] ~= 'processing' or held[2] ~= fence": "not held[1]",
        " and message.state == 'processing' and message.fence == tonumber(fence)": "",
    },
}
"""By dialect: the conditions of a worker's writes on fence and state, and what stands there instead."""


def remove_fences() -> None:
    """Remove the fence from the store and the memory; the worker no longer stops lost runs."""
    if os.environ["DATABASE_URL"].startswith("redis"):
        _unguard_scripts()
    else:
        load_queries = named_sql.load_queries
        _replace_everywhere("load_queries", load_queries, lambda dialect: _unguarded(load_queries(dialect), dialect))
    app.agents.langgraph.MEMORY_FENCE_KEY = "__no_fence"  # type: ignore[attr-defined]  # replaced on purpose
    for method in ("on_beat", "on_silence"):
        setattr(QueueWorker, method, lambda *_: None)


def finish_late(sign: Path) -> None:
    """Remove the fences, let the lease of each message run out, and keep the first finish until this file is there."""
    remove_fences()
    QueueWorker.leases = lambda _: ()  # type: ignore[assignment, method-assign]  # a lease that no beat names runs out

    def make_late(settings: Settings) -> Store:
        store = factory.make_store(settings)
        finish = store.finish

        async def finish_when_told(lease: Lease, outcome: Outcome) -> None:
            await until(sign.exists, "the test lets this worker finish")
            await finish(lease, outcome)

        store.finish = finish_when_told  # type: ignore[method-assign]  # replaced on purpose
        return store

    bootstrap.make_store = make_late  # type: ignore[attr-defined, assignment]  # replaced on purpose


def _unguard_scripts() -> None:
    from app.store.redis.scripts import Script, load_scripts

    texts = _unguarded({name: script.text for name, script in load_scripts().items()}, "redis")
    scripts = {name: Script(text, hashlib.sha1(text.encode()).hexdigest()) for name, text in texts.items()}
    _replace_everywhere("load_scripts", load_scripts, lambda: scripts)


def _unguarded(texts: Mapping[str, str], dialect: str) -> Mapping[str, str]:
    found = dict(texts)
    for guard, instead in GUARDS[dialect].items():
        assert any(guard in text for text in found.values()), f"{dialect} has no guard {guard!r} any more"
        found = {name: text.replace(guard, instead) for name, text in found.items()}
    return found


def _replace_everywhere(name: str, function: object, other: object) -> None:
    """Replace a function, in modules that imported it by name too."""
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is function:
            setattr(module, name, other)
