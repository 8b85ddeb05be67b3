"""Erasures for tests: something of every kind to erase, the duty that erases it, and what is left."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.erasure_manager import Eraser
from app.errors import MessageNotFound
from app.models.deliveries import DeliveryFilter
from app.models.erasures import Erasure, ErasureKind, ErasureState, ErasureTarget, NewErasure
from app.models.events import NewEvent
from app.models.items import ItemSearch, ItemWrite
from app.models.memory import AgentMemory
from app.models.messages import Page, RequestKey
from app.models.usage import GroupUsage, MeteredCall, ModelUsage, Tokens, UsageGroup, usage_by_model
from app.store.ports import Store
from tests.contract.builders import (
    ALL,
    DONE,
    FAILED,
    TENANT,
    add,
    all_threads,
    chunk,
    claim_one,
    interrupt,
    listed,
    new,
    start,
)
from tests.contract.test_figures import counts as figures_of
from tests.contract.test_usage import usage

URL = "https://example.com/hook"
SUBJECT = "ann.*%"
OWN_ITEMS = ("subjects", "ann%2E%2A%25")
CALL = ModelUsage("m", Tokens(1, 10, 5, 4, 3, 7_000, 0))


class Memory(AgentMemory):
    """The agents' memory, of which only deletions matter here."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, memory_keys: list[str]) -> None:
        self.forgotten += memory_keys

    async def forget_messages(self, memory_key: str, memory_fence: tuple[int, int], message_ids: Sequence[str]) -> None:
        raise NotImplementedError

    async def forget_unfinished(self, memory_key: str, memory_fence: tuple[int, int]) -> None:
        raise NotImplementedError

    async def copy_until(self, source_key: str, checkpoint_id: str, target_key: str) -> bool:
        raise NotImplementedError

    async def measure(self, memory_keys: Sequence[str]) -> list[int]:
        raise NotImplementedError


def eraser(store: Store, memory: AgentMemory | None = None) -> Eraser:
    """The duty of one process."""
    known = memory or Memory()
    return Eraser(store, lambda: known)


async def worked(store: Store, erasure: Erasure, memory: AgentMemory | None = None) -> Erasure:
    """The receipt of an erasure that has ended."""
    for _ in range(20):  # rows that come meanwhile need another turn
        await eraser(store, memory).work()
        found = await store.get_erasure(erasure.tenant, erasure.id)
        assert found is not None
        if found.state is ErasureState.COMPLETED:
            return found
    raise AssertionError(f"the erasure does not end: {found}")


def begin(store: Store, kind: ErasureKind, name: str = "", **fields: Any) -> Any:
    """Begin an erasure without its surroundings."""
    target = ErasureTarget(TENANT, kind, name)
    return store.begin_erasure(NewErasure(fields.pop("id", f"{kind}-1"), target, "local"), **fields)


async def fill(store: Store, tenant: str, thread: str, subject: str | None = None) -> list[str]:
    """Store something of every kind. The ids of its messages."""
    of: dict[str, Any] = {"tenant": tenant, "thread": thread, "subject": subject, "webhook_url": URL}
    key = RequestKey(tenant, f"key of {thread}", "this request")
    (done,) = (await store.add([new(aliases=(f"alias of {thread}",), **of)], max_queued=ALL, key=key)).messages
    lease = await claim_one(store)
    call = [MeteredCall({"input_tokens": 10}, CALL)]
    await store.append(lease, [chunk(0), NewEvent.usage(call)], usage_by_model([CALL]))
    await store.finish(lease, DONE)
    failed = await start(store, **of)
    await store.finish(failed, FAILED)
    asking = await interrupt(store, **of)
    behind = await add(store, **of)
    alone = await start(store, tenant=tenant, subject=subject)
    await store.finish(alone, DONE)
    own = ("subjects", subject.replace("%", "%25").replace(".", "%2E").replace("*", "%2A")) if subject else (thread,)
    await store.put_items(tenant, [ItemWrite(own, "item", '{"a": 1}'), ItemWrite((*own, "inside"), "item", "{}")])
    return [done.id, failed.message_id, asking.id, behind.id, alone.message_id]


async def shown(store: Store, tenant: str, ids: Sequence[str]) -> list[object]:
    """The view of a tenant on some messages and on its own."""
    found: list[object] = [
        await listed(store, tenant),
        await all_threads(store, tenant),
        await store.search_items(tenant, ItemSearch((), limit=ALL)),
        await store.find_deliveries(tenant, DeliveryFilter(), Page(ALL)),
        await usage(store, tenant=tenant),
        await store.list_keys(tenant, after="", limit=ALL),
        await store.get_tenant(tenant),
        await figures_of(store, tenant),
        (await store.summary(tenant, limit=ALL)).totals,
        await store.group_dead_letters(tenant, limit=ALL),
        await store.list_attempts(tenant, ids),
    ]
    return found


async def usage_without_subjects(store: Store) -> list[GroupUsage]:
    """The tenant's usage by hour, key, agent and model, which bills and quotas count."""
    return await usage(store, *frozenset(UsageGroup) - {UsageGroup.SUBJECT}, tenant=TENANT)


async def is_empty(store: Store, tenant: str, ids: Sequence[str]) -> None:
    """Nothing of these messages is left."""
    for message_id in ids:
        with pytest.raises(MessageNotFound):
            await store.get(tenant, message_id)
        with pytest.raises(MessageNotFound):
            await store.read(tenant, message_id, after=0, limit=1)
        assert await store.list_deliveries(tenant, message_id) == []
        assert await store.list_aliases(tenant, message_id) == {}
        assert await store.message_usage(tenant, message_id) == []
