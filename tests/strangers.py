"""An end user with something of every kind, and callers who may see nothing of it."""

import json
from typing import Any
from urllib.parse import quote

from app.access.principals import Principal
from app.access.scopes import AccessScope
from app.models.messages import MessageFilter, Page
from app.models.threads import ThreadFilter
from app.models.visibility import ThreadNarrowing
from app.store.ports import Store
from tests.contract.builders import ALL, DONE, FAILED, interrupt, new, start

SCOPES = frozenset(AccessScope)
ANN = Principal("default", SCOPES, subject="ann")
STRANGERS = {
    "another subject": Principal("default", SCOPES, subject="bob"),
    "another tenant": Principal("other", SCOPES),
    "another tenant with an equal subject": Principal("other", SCOPES, subject="ann"),
    "other threads": Principal("default", SCOPES, threads=ThreadNarrowing(frozenset({"other"}), "mine/")),
    "other agents": Principal("default", SCOPES, agents=frozenset({"coder"})),
}
AGENTS = "chat=tests.graphs:steps,coder=tests.graphs:steps"
JSON = {"Content-Type": "application/json"}


HELLO = {"message": "Hello"}


async def ann_has(store: Store) -> dict[str, list[str]]:
    """Make a message of Ann's in each state, with aliases, in threads and without, and a thread of each stranger."""
    hook = "https://receiver.example/hook"
    plain: dict[str, Any] = {"subject": "ann", "webhook_url": hook}
    messages, aliases = [], []

    def fields(state: str) -> dict[str, Any]:
        aliases.append(f"ann {state}")
        return {**plain, "thread": f"ann/{state}", "aliases": (aliases[-1], f"ann\nown {state}")}

    for outcome, state in ((DONE, "completed"), (FAILED, "failed")):
        lease = await start(store, **fields(state))
        await store.finish(lease, outcome)
        messages.append(lease.message_id)
    messages.append((await interrupt(store, **fields("interrupted"))).id)
    messages.append((await start(store, **fields("processing"))).message_id)
    for state in ("queued", "cancelled"):
        (message,) = (await store.add([new(**fields(state))], max_queued=ALL)).messages
        messages.append(message.id)
    await store.cancel("default", messages[-1])
    (alone,) = (await store.add([new(**plain)], max_queued=ALL)).messages
    messages.append(alone.id)
    threads = [f"ann/{state}" for state in ("completed", "failed", "interrupted", "processing", "queued", "cancelled")]
    deliveries = [each.id for name in messages for each in await store.list_deliveries("default", name)]
    assert len(deliveries) == 3
    aliases += [alias.replace("ann", "own") for alias in aliases]
    for stranger in STRANGERS.values():
        if stranger.agents is None:
            theirs = [new(thread="mine/t", subject=stranger.subject, tenant=stranger.tenant)]
            if stranger.tenant == "default" and stranger.subject is None:
                theirs = [new(thread="mine/t2")]
            if stranger.tenant == "other" and stranger.subject is None:
                continue
            await store.add(theirs, max_queued=ALL)
    keys = [key.id for key in await store.list_keys(None, after="", limit=9)]
    found = {"message": messages, "alias": aliases, "thread": threads, "delivery": deliveries}
    return {**found, "agent": ["chat"], "key": keys, "subject": ["ann"]}


async def snapshot(store: Store) -> Any:
    """All that Ann has."""
    messages = await store.list_messages("default", MessageFilter(visible=ANN.visibility), Page(ALL))
    logs = [await store.read("default", each.id, after=0, limit=ALL) for each in messages]
    deliveries = [await store.list_deliveries("default", each.id) for each in messages]
    threads = await store.list_threads("default", Page(ALL), ThreadFilter(visible=ANN.visibility))
    return messages, logs, deliveries, threads


def without(text: str, value: str) -> str:
    for form in (value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]):
        text = text.replace(form, "ID")
    return text
