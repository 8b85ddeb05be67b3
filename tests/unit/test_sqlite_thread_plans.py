"""Changes of a thread keep their price when the history of the thread grows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app.models.attempts import Completed, Lease, Released
from app.models.messages import MessageState, Priority
from app.store.parts import AcceptRules
from app.store.sqlite.connection import transaction
from tests.contract.builders import ALL, LEASE_SECONDS, TENANT, new
from tests.unit.sqlite_backlogs import Seeded


class Grown(NamedTuple):
    """A database with one thread: messages that have ended, one that runs, and two that wait."""

    seeded: Seeded
    lease: Lease
    waiting: list[str]


def grown(path: Path, ended: int) -> Grown:
    seeded = Seeded(path)
    with transaction(seeded.connection, "IMMEDIATE"):
        for _ in range(ended + 3):
            seeded.operations.add([new(thread="t", agent="a")], AcceptRules(ALL), None, {})
        for _ in range(ended):
            seeded.operations.finish(seeded.claim(1)[0], Completed("done"))
        (lease,) = seeded.claim(1)
    seeded.clock.advance(LEASE_SECONDS)
    waiting = seeded.operations.thread_messages(TENANT, "t", ended + 1, ALL)
    assert [message.state for message in waiting] == [MessageState.QUEUED] * 2
    return Grown(seeded, lease, [message.id for message in waiting])


@pytest.fixture(scope="module")
def young_and_old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Grown, Grown]]:
    """The same thread after 3 and after 1,000 messages."""
    folder = tmp_path_factory.mktemp("grown")
    young, old = grown(folder / "young.db", 3), grown(folder / "old.db", 1_000)
    yield young, old
    young.seeded.connection.close()
    old.seeded.connection.close()


def add_urgent(thread: Grown) -> None:
    thread.seeded.operations.add([new(thread="t", priority=Priority.HIGH)], AcceptRules(ALL), None, {})


def cancel(thread: Grown) -> None:
    thread.seeded.operations.cancel(TENANT, thread.waiting[0], running=False)


def cancel_the_last(thread: Grown) -> None:
    thread.seeded.operations.cancel(TENANT, thread.waiting[-1], running=False)


def cancel_what_lifts(thread: Grown) -> None:
    [urgent], *_ = thread.seeded.operations.add([new(thread="t", priority=Priority.HIGH)], AcceptRules(ALL), None, {})
    thread.seeded.operations.cancel(TENANT, urgent.id, running=False)


def finish(thread: Grown) -> None:
    thread.seeded.operations.finish(thread.lease, Completed("done"))


def release(thread: Grown) -> None:
    thread.seeded.operations.finish(thread.lease, Released("again"))


def rescue(thread: Grown) -> None:
    assert thread.seeded.operations.rescue(3) == 1


def read(thread: Grown) -> None:
    thread.seeded.operations.thread(TENANT, "t")


THREAD_CALLS = [add_urgent, cancel, cancel_the_last, cancel_what_lifts, finish, release, rescue, read]


@pytest.mark.parametrize("call", THREAD_CALLS, ids=lambda call: call.__name__)
def test_the_history_of_a_thread_makes_nothing_dearer(
    call: Callable[[Grown], None], young_and_old: tuple[Grown, Grown]
) -> None:
    young, old = young_and_old
    assert old.seeded.price(lambda: call(old)) < 1.5 * young.seeded.price(lambda: call(young))
