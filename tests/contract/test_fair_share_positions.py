"""Positions in the queue while tenants take turns."""

import asyncio

from app.store.ports import Store
from tests.contract.builders import ALL, add, add_all, claim, new
from tests.contract.bursts import BIG, SMALL, burst, run

# Reasons and positions


async def test_those_that_came_later_and_go_first_are_counted(store: Store) -> None:
    burst_of = await burst(store)
    await run(store, 1)
    assert await store.count_overtaking(BIG, burst_of[-1].id) == 0
    others = await burst(store, 3, SMALL)
    assert await store.count_overtaking(BIG, burst_of[-1].id) == 3
    assert await store.count_overtaking(BIG, burst_of[1].id) == 1
    assert await store.count_overtaking(SMALL, others[-1].id) == 0
    assert await store.count_overtaking(SMALL, burst_of[-1].id) == 0
    assert await store.count_overtaking(BIG, burst_of[0].id) == 0


async def test_positions_are_exact_while_tenants_take_turns(store: Store) -> None:
    await burst(store, 30)
    await burst(store, 10, SMALL)
    await run(store, 7)
    added = await add_all(store, *[new(tenant=f"tenant {number % 4}") for number in range(12)])
    positions = {message.id: message.queue_position for message in added}
    taken = [each.message.id for each in await claim(store, ALL)]
    assert {message_id: taken.index(message_id) for message_id in positions} == positions


async def test_positions_in_the_middle_are_exact_for_tenants_that_come_at_once(store: Store) -> None:
    """Both tenants have more messages waiting than are counted from the end of the queue."""
    await add_all(store, *[new(tenant=BIG) for _ in range(900)])
    await add_all(store, *[new(tenant="third") for _ in range(1_200)])
    await add_all(store, *[new(tenant=SMALL) for _ in range(400)])
    added = await asyncio.gather(*(add(store, tenant=tenant) for tenant in (BIG, SMALL) * 8))
    located = await store.with_positions(BIG, added[::2])
    for came_before, (then, now) in enumerate(zip(added[::2], located, strict=True)):
        # Each of the other tenant that came later has gone before it since.
        assert 0 <= (now.queue_position or 0) - (then.queue_position or 0) <= 8 - came_before


async def test_positions_in_the_middle_are_exact_for_those_that_come_one_after_the_other(store: Store) -> None:
    await add_all(store, *[new(tenant=BIG) for _ in range(900)])
    await add_all(store, *[new(tenant=SMALL) for _ in range(400)])
    for tenant in (SMALL, BIG, "third", SMALL, "third"):
        message = await add(store, tenant=tenant)
        assert message.queue_position == (await store.get(tenant, message.id)).queue_position
    at_once = await asyncio.gather(*(add(store, tenant=SMALL) for _ in range(20)))
    located = await store.with_positions(SMALL, list(at_once))
    assert [each.queue_position for each in at_once] == [each.queue_position for each in located]
    together = await add_all(store, *[new(tenant=SMALL) for _ in range(20)])
    located = await store.with_positions(SMALL, together)
    assert [each.queue_position for each in together] == [each.queue_position for each in located]


async def test_what_happens_between_messages_of_one_moment_changes_their_positions(store: Store) -> None:
    ahead = await add_all(store, *[new(tenant=BIG) for _ in range(900)])
    await add_all(store, *[new(tenant=SMALL) for _ in range(400)])

    async def one(number: int) -> int:
        if number % 3 == 0:
            await store.cancel(BIG, ahead[number].id)
            return 0
        return (await add(store, tenant=SMALL)).queue_position or 0

    positions = await asyncio.gather(*(one(number) for number in range(30)))
    message = await add(store, tenant=SMALL)
    assert message.queue_position == (await store.get(SMALL, message.id)).queue_position
    assert all(800 - 10 < position < 900 for position in positions if position)
