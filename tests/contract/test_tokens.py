"""The store keeps few things for tokens and tickets."""

import asyncio
from datetime import timedelta

from app.store.limits import END_SECONDS, TICKET_SECONDS
from app.store.ports import ACCESS, Store
from tests.clock import ManualClock
from tests.contract.builders import OTHER_TENANT, TENANT


async def rotate(store: Store, name: str, days: int = 7) -> list[str]:
    """The ids of the live secrets after a rotation of secrets that are older than this."""
    live = await store.rotate_signing_secret(
        name, f"secret of {name}", older_than=store.now() - timedelta(days=days) + timedelta(milliseconds=1)
    )
    assert live == await store.list_signing_secrets()
    assert all(each.secret == f"secret of {each.id}" for each in live)
    return [each.id for each in live]


async def test_the_two_newest_secrets_are_live(store: Store, clock: ManualClock) -> None:
    assert await store.list_signing_secrets() == []
    assert await rotate(store, "a") == ["a"]
    assert (await store.list_signing_secrets())[0].created_at == store.now()
    assert await rotate(store, "b") == ["a"], "a is young"
    clock.advance(7 * 86_400)
    assert await rotate(store, "c") == ["c", "a"]
    clock.advance(7 * 86_400)
    assert await rotate(store, "d") == ["d", "c"]


async def test_of_two_first_secrets_one_is_stored(store: Store, other_store: Store) -> None:
    live = await asyncio.gather(*(rotate(each, name) for each, name in ((store, "a"), (other_store, "b"))))
    assert len({tuple(each) for each in live}) == 1
    assert len(live[0]) == 1


async def test_a_new_secret_and_an_end_raise_the_revision(store: Store, clock: ManualClock) -> None:
    revisions = [(await store.access_state()).revision]
    with store.subscribe(ACCESS) as hints:
        for change in (
            lambda: rotate(store, "a"),
            lambda: store.end_tokens(TENANT, "ann"),
            lambda: store.end_tokens(TENANT, None),
        ):
            await change()
            assert await hints.wait(5)
            revisions.append((await store.access_state()).revision)
    await rotate(store, "b")
    assert (await store.access_state()).revision == revisions[-1], "nothing was stored"
    assert revisions == sorted(set(revisions))


async def test_tokens_end_for_a_subject_or_a_tenant(store: Store) -> None:
    assert await store.tokens_ended(TENANT, "ann") == await store.tokens_ended(TENANT, None) == 0
    ann = await store.end_tokens(TENANT, "ann")
    assert ann == (await store.access_state()).revision
    assert await store.tokens_ended(TENANT, "ann") == ann
    assert await store.tokens_ended(TENANT, "bob") == await store.tokens_ended(TENANT, None) == 0
    everybody = await store.end_tokens(TENANT, None)
    assert everybody > ann
    for subject in ("ann", "bob", None):
        assert await store.tokens_ended(TENANT, subject) == everybody
        assert await store.tokens_ended(OTHER_TENANT, subject) == 0
    again = await store.end_tokens(TENANT, "ann")
    assert again == await store.tokens_ended(TENANT, "ann") > await store.tokens_ended(TENANT, "bob") == everybody


async def test_an_end_is_kept_longer_than_any_token_lives(store: Store, clock: ManualClock) -> None:
    ended = await store.end_tokens(TENANT, "ann")
    clock.advance(END_SECONDS - 1)
    await store.end_tokens(TENANT, "bob")
    assert await store.tokens_ended(TENANT, "ann") == ended


async def test_a_ticket_is_used_once_by_all_processes(store: Store, other_store: Store, clock: ManualClock) -> None:
    for name in ("a", "b"):
        tries = await asyncio.gather(*(each.use_ticket(name) for each in (store, other_store) * 5))
        assert sorted(tries) == [False] * 9 + [True]
    clock.advance(TICKET_SECONDS - 1)
    assert await store.use_ticket("c")
    assert not await other_store.use_ticket("a")
