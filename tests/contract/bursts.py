"""Tenants with much and with little to do, and the order in which their messages run."""

from collections.abc import Sequence
from typing import Any

from app.models.messages import Message
from app.store.ports import Store
from tests.contract.builders import DONE, HIGH, LOW, NORMAL, add_all, claim, new

BIG = "a tenant with much to do"
SMALL = "a tenant with little to do"
BURST = 200


async def burst(store: Store, count: int = BURST, tenant: str = BIG, **fields: Any) -> list[Message]:
    return await add_all(store, *[new(tenant=tenant, **fields) for _ in range(count)])


async def run(store: Store, count: int) -> list[str]:
    """Run so many messages one after the other; the tenants whose they were, in order."""
    tenants = []
    for _ in range(count):
        (claimed,) = await claim(store)
        tenants.append(claimed.message.tenant)
        await store.finish(claimed.lease, DONE)
    return tenants


def waits(order: Sequence[str], tenant: str) -> list[int]:
    """How many messages of others ran before each message of a tenant, since its message before."""
    found, waited = [], 0
    for each in order:
        waited = waited + 1
        if each == tenant:
            found.append(waited - 1)
            waited = 0
    return found


async def mixed(store: Store, turn: int) -> None:
    """Accept messages of all priorities in threads that others use too, in another order each time."""
    priorities = [HIGH, NORMAL, LOW]
    given = [
        new(tenant=BIG, thread=f"t{(turn + number) % 3}", priority=priorities[(turn * number) % 3])
        for number in range(9)
    ]
    accepted = await add_all(store, *given)
    await store.reprioritize(BIG, accepted[turn % 9].id, priorities[turn % 3])
    await store.cancel(BIG, accepted[(turn + 1) % 9].id)
