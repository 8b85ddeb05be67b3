"""Forks of erased threads: they stay, without the names of what is gone."""

from typing import Any

import pytest

from app.erasure_manager import ErasureManager
from app.errors.erasures import ErasureInProgress
from app.errors.threads import ThreadExists
from app.models.erasures import ErasureKind
from app.models.threads import ForkSource, NewThread
from app.store.ports import Store
from tests.contract.builders import CALLER, CANCELLED, DONE, TENANT, start
from tests.contract.erasing import Memory, begin, worked


def forked(thread_id: str, message_id: str | None, subject: str | None = None) -> NewThread:
    return NewThread(
        ForkSource(thread_id=thread_id, checkpoint_id="c", message_id=message_id, agent="a"), subject=subject
    )


async def done_in(store: Store, thread_id: str) -> str:
    """The id of a message in the thread that has ended."""
    lease = await start(store, thread=thread_id)
    await store.finish(lease, DONE)
    return lease.message_id


async def fork(store: Store, new_id: str, thread_id: str, message_id: str | None, **fields: Any) -> None:
    await store.draft_thread(TENANT, new_id)
    await store.publish_thread(TENANT, new_id, forked(thread_id, message_id, **fields))


async def source_of(store: Store, thread_id: str) -> tuple[str, str | None]:
    source = (await store.get_thread(TENANT, thread_id)).forked_from
    assert source is not None
    assert (source.checkpoint_id, source.agent) == ("c", "a")
    return source.thread_id, source.message_id


async def test_forks_of_an_erased_thread_lose_its_name(store: Store, other_store: Store) -> None:
    gone, kept = await done_in(store, "gone"), await done_in(store, "kept")
    await fork(store, "fork", "gone", gone)
    await fork(store, "of the fork", "fork", gone)
    await fork(store, "older", "gone", None)
    await fork(store, "other", "kept", kept)
    receipt = await worked(other_store, await ErasureManager(store).erase_thread(CALLER, "gone"), Memory())
    for at in (store, other_store):
        assert await source_of(at, "fork") == ("erased", "erased")
        assert await source_of(at, "of the fork") == ("fork", "erased")
        assert await source_of(at, "older") == ("erased", None)
        assert await source_of(at, "other") == ("kept", kept)
    assert receipt.counts["forks"] == 3


@pytest.mark.parametrize("kind", [ErasureKind.THREAD, ErasureKind.SUBJECT, ErasureKind.TENANT])
async def test_nothing_is_forked_from_what_is_being_erased(store: Store, other_store: Store, kind: ErasureKind) -> None:
    running = await start(store, thread="t", subject="ann")
    names = {ErasureKind.THREAD: "t", ErasureKind.SUBJECT: "ann", ErasureKind.TENANT: ""}
    await store.draft_thread(TENANT, "fork")
    erasure = await begin(other_store, kind, names[kind])
    with pytest.raises(ErasureInProgress):
        await store.publish_thread(TENANT, "fork", forked("t", running.message_id, "ann"))
    with pytest.raises(ThreadExists):
        await store.draft_thread(TENANT, "fork")  # still a draft, as its maker abandons it
    await store.abandon_thread(TENANT, "fork")
    await store.finish(running, CANCELLED)
    await worked(store, erasure, Memory())
