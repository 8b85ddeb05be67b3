"""Workers describe their agents for the API of another process."""

import asyncio
from typing import Any

from app.models.agents import AgentDescription
from app.models.inputs import ShownEvent
from app.store.ports import Store
from tests.clock import ManualClock

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer", "maximum": 2**60, "description": 'ü 🙂 "quoted" \u0000'}},
}


def described(name: str, **fields: Any) -> AgentDescription:
    return AgentDescription(name=name, **{"input_schema": {}, "output_schema": {}} | fields)


async def test_nothing_is_described_at_first(store: Store) -> None:
    assert await store.list_agents() == []
    await store.describe_agents([])
    assert await store.list_agents() == []


async def test_agents_are_listed_by_name_as_they_were_described(store: Store) -> None:
    full = described(
        "Zoë's agent 🙂",
        description="Answers questions.\nIn two lines.",
        input_schema=SCHEMA,
        output_schema=SCHEMA | {"title": "Out"},
        context_schema=SCHEMA,
        events=tuple(ShownEvent),
    )
    await store.describe_agents([full, described("b")])
    await store.describe_agents([described("a"), described("B")])
    assert await store.list_agents() == [described("B"), full, described("a"), described("b")]


async def test_a_new_description_takes_the_place_of_the_old_one(store: Store) -> None:
    await store.describe_agents([described("a"), described("b", context_schema=SCHEMA, description="old")])
    await store.describe_agents([described("b", description="new")])
    for _ in range(2):
        assert await store.list_agents() == [described("a"), described("b", description="new")]
        await store.describe_agents([described("b", description="new")])


async def test_processes_describe_at_the_same_moment(store: Store, other_store: Store) -> None:
    names = [f"agent {n:02}" for n in range(20)]
    calls = [
        each.describe_agents([described(name) for name in names[:: (1, -1)[n % 2]]])
        for n, each in enumerate([store, other_store] * 5)
    ]
    await asyncio.gather(*calls)
    assert [agent.name for agent in await other_store.list_agents()] == names


async def test_descriptions_that_no_worker_renews_are_deleted(
    store: Store, other_store: Store, clock: ManualClock
) -> None:
    await store.describe_agents([described("old"), described("renewed"), described("changed")])
    clock.advance(60)
    await store.prune_agents(older_than_seconds=60)
    assert len(await store.list_agents()) == 3
    await other_store.describe_agents([described("renewed"), described("changed", description="new")])
    clock.advance(1)
    await store.prune_agents(older_than_seconds=60)
    await store.prune_agents(older_than_seconds=60)
    assert await other_store.list_agents() == [described("changed", description="new"), described("renewed")]
    await store.describe_agents([described("old")])
    assert [agent.name for agent in await store.list_agents()] == ["changed", "old", "renewed"]
