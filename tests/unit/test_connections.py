"""The ledger of connections: who is waited for, who is late, and who gives way."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from app.api.connections import HEAD_AGE_SECONDS, SECONDS, SURPLUS_CONNECTIONS, SWEEP_SECONDS, Connections, Wait

KEEP_ALIVE = 5


class Loop:
    """An event loop whose clock the test moves. It runs what is due when it is moved there."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self.due.append((when, callback))
        return object()

    def run(self, seconds: float, *, blocked: bool = False) -> None:
        """Pass so many seconds. A blocked loop runs what was due in them once, at their end."""
        end = self.now + seconds
        self.now = end if blocked else self.now
        while pending := [entry for entry in self.due if entry[0] <= end]:
            first = min(pending, key=lambda entry: entry[0])
            self.due.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
            if blocked:
                break
        self.now = end


class Client:
    """A connection that notes what is done to it."""

    def __init__(self) -> None:
        self.wait: Wait | None = None
        self.late: list[Wait] = []
        self.aborted = False
        self.bytes = 0

    def unsent(self) -> int:
        return self.bytes

    def overdue(self, wait: Wait) -> None:
        self.late.append(wait)

    def abort(self) -> None:
        self.aborted = True


def ledger(limit: int | None = None) -> tuple[Loop, Connections]:
    loop = Loop()
    return loop, Connections(limit, cast(asyncio.AbstractEventLoop, loop), keep_alive_seconds=KEEP_ALIVE)


def test_each_wait_has_its_time() -> None:
    for wait in (Wait.FIRST_BYTE, Wait.HEAD, Wait.BODY, Wait.NEXT_REQUEST, Wait.LAST_BYTE):
        loop, connections = ledger()
        seconds = KEEP_ALIVE if wait is Wait.NEXT_REQUEST else SECONDS[wait]
        client, other = Client(), Client()
        connections.expect(client, wait)
        connections.expect(other, wait)
        connections.forget(other)
        loop.run(seconds - 0.1)
        assert client.late == []
        loop.run(SWEEP_SECONDS + 0.1)
        assert client.late == [wait]
        assert other.late == []


def test_nothing_ticks_while_nothing_is_awaited() -> None:
    loop, connections = ledger()
    client = Client()
    assert loop.due == []
    connections.expect(client, Wait.HEAD)
    assert len(loop.due) == 1
    connections.forget(client)
    loop.run(10)
    assert loop.due == []


def test_a_body_may_have_a_time_of_its_own() -> None:
    loop, connections = ledger()
    clients = [Client() for _ in range(3)]
    for client, seconds in zip(clients, (None, 2.0, None), strict=True):
        connections.expect(client, Wait.BODY, seconds)
    loop.run(4)
    assert [client.late for client in clients] == [[], [Wait.BODY], []]


def test_a_blocked_event_loop_makes_nobody_late() -> None:
    loop, connections = ledger()
    punctual, late = Client(), Client()
    connections.expect(punctual, Wait.HEAD)
    connections.expect(late, Wait.HEAD)
    loop.run(SECONDS[Wait.HEAD] + 5, blocked=True)
    assert (punctual.late, late.late) == ([], [])
    connections.forget(punctual)  # what it had sent meanwhile is read before the next look
    loop.run(2 * SWEEP_SECONDS)
    assert (punctual.late, late.late) == ([], [Wait.HEAD])


def test_a_reader_is_given_up_when_it_takes_nothing() -> None:
    loop, connections = ledger()
    slow, dead = Client(), Client()
    for client in (slow, dead):
        client.bytes = 1000
        connections.expect_reader(client)
    for _ in range(5):
        slow.bytes -= 1
        loop.run(SECONDS[Wait.READER] + SWEEP_SECONDS)
    assert (slow.aborted, dead.aborted) == (False, True)
    connections.forget_reader(slow)
    loop.run(1000)
    assert not slow.aborted


def test_the_least_missed_gives_way_first() -> None:
    loop, connections = ledger(limit=4)
    waits = (Wait.NEXT_REQUEST, Wait.HEAD, Wait.LAST_BYTE, Wait.FIRST_BYTE)
    clients = {wait: Client() for wait in waits}
    for number, (wait, client) in enumerate(clients.items(), start=1):
        assert connections.admit(client, number)
        connections.expect(client, wait)
    loop.run(HEAD_AGE_SECONDS)
    for wait in reversed(waits):
        assert not clients[wait].aborted
        assert connections.admit(Client(), 5)
        assert clients[wait].aborted
    assert not connections.admit(Client(), 5)


def test_a_connection_that_still_sends_does_not_give_way() -> None:
    loop, connections = ledger(limit=2)
    sending, idle = Client(), Client()
    sending.bytes = 1000
    for number, client in enumerate((sending, idle), start=1):
        assert connections.admit(client, number)
        connections.expect(client, Wait.NEXT_REQUEST)
    loop.run(HEAD_AGE_SECONDS)
    assert connections.admit(Client(), 3)
    assert (sending.aborted, idle.aborted) == (False, True)
    assert not connections.admit(Client(), 3)


def test_a_young_head_does_not_give_way() -> None:
    loop, connections = ledger(limit=1)
    client = Client()
    assert connections.admit(client, 1)
    connections.expect(client, Wait.HEAD)
    loop.run(HEAD_AGE_SECONDS / 2)
    assert not connections.admit(Client(), 2)
    assert not client.aborted


def test_the_refused_are_few_and_reported_seldom(caplog: Any) -> None:
    _, connections = ledger(limit=1)
    busy = Client()
    assert connections.admit(busy, 1)
    refused = [Client() for _ in range(SURPLUS_CONNECTIONS + 3)]
    for number, client in enumerate(refused):
        assert not connections.admit(client, 2 + min(number, SURPLUS_CONNECTIONS))
        connections.expect(client, Wait.FIRST_BYTE)
    assert [client.aborted for client in refused] == [True] * 3 + [False] * SURPLUS_CONNECTIONS
    assert len(caplog.records) == 1
    for client in refused:
        connections.drop(client)
    connections.drop(busy)
    assert connections.admit(Client(), 1)


def test_without_a_limit_all_are_admitted() -> None:
    _, connections = ledger()
    assert all(connections.admit(Client(), number) for number in range(1, 1000))
