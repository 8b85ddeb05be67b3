"""Limits the number of connections of a process, and how long each connection may keep the process waiting.

One timer checks all connections. It runs only while a connection is waited for, so open streams cost nothing here.
"""

import asyncio
import logging
import resource
from enum import IntEnum
from itertools import islice
from typing import Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)


class Wait(IntEnum):
    """The next step that a connection must take within a time limit."""

    FIRST_BYTE = 0
    HEAD = 1
    BODY = 2
    NEXT_REQUEST = 3
    LAST_BYTE = 4
    READER = 5


SECONDS: dict[Wait, float] = {
    Wait.FIRST_BYTE: 10.0,
    Wait.HEAD: 10.0,
    Wait.BODY: 20.0,
    Wait.NEXT_REQUEST: 5.0,  # replaced by uvicorn's setting `timeout_keep_alive`
    Wait.LAST_BYTE: 5.0,
    Wait.READER: 40.0,
}
"""Time limits. READER is longer than the limit of streams, so that a slow stream ends with its own log line."""

SWEEP_SECONDS = 1.0
"""Interval between checks of the deadlines."""

LATE_SECONDS = 1.0
"""A check that is later than this ends no connection, since data of clients may wait unread."""

RESERVED_DESCRIPTORS = 40
"""File descriptors for databases, models, agents, and about thirty for the process itself."""

RESERVED_SHARE = 8
"""Divides the limit of file descriptors. The quotient is reserved if it exceeds RESERVED_DESCRIPTORS."""

MINIMUM_CONNECTIONS = 8

SURPLUS_CONNECTIONS = 8
"""How many connections above the limit stay open at a time, to be refused with an answer."""

HEAD_AGE_SECONDS = 1.0
"""At the limit, a connection that is idle or has an incomplete head for this long may be closed."""

CANDIDATES = 100
"""Maximum number of connections that are checked to find one to close."""

REPORT_SECONDS = 60.0
"""Minimum time between two log lines about refused connections."""

STATE_ATTRIBUTE = "agent_queue_connections"


class Waiting(Protocol):
    """A connection that `Connections` can wait for."""

    wait: Wait | None
    """The event that `Connections` waits for at the moment. Only `Connections` sets it."""

    def unsent(self) -> int:
        """Return how many bytes wait to be sent."""

    def overdue(self, wait: Wait) -> None:
        """End the connection after a missed deadline, or set a new deadline. `wait` is the missed step."""

    def abort(self) -> None:
        """Close the connection at once."""


def connection_limit(wanted: int) -> int:
    """Return how many connections a process may have: `wanted`, or fewer if it has too few file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    spare = soft - max(RESERVED_DESCRIPTORS, soft // RESERVED_SHARE)
    return max(min(wanted, spare), min(wanted, MINIMUM_CONNECTIONS))


class Connections:
    """The connections of one server, with their deadlines."""

    def __init__(self, limit: int | None, loop: asyncio.AbstractEventLoop, *, keep_alive_seconds: float) -> None:
        self._limit = limit
        seconds = {**SECONDS, Wait.NEXT_REQUEST: keep_alive_seconds}
        self._seconds = [seconds[wait] for wait in Wait]  # a list, since an enumeration's hash is slow
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._waits: list[dict[Waiting, float]] = [{} for _ in Wait]  # each in the order of its deadlines
        self._unsent: dict[Waiting, int] = {}
        self._surplus: dict[Waiting, None] = {}
        self._refused = 0
        self._sweep_at = 0.0
        self._report_at = loop.time()

    def admit(self, connection: Waiting, number: int) -> bool:
        """Return whether to serve a new connection. `number` counts the open connections, including the new one.

        At the limit, first close an older connection without a request, see `_make_room`. If there is none, the new
        connection is not served but may get a refusal. If more than SURPLUS_CONNECTIONS are not served, close the
        oldest of them without an answer.
        """
        if self._limit is None or number - len(self._surplus) <= self._limit:
            return True
        if self._make_room():
            return True
        self._refused += 1
        self._surplus[connection] = None
        if len(self._surplus) > SURPLUS_CONNECTIONS:
            oldest = next(iter(self._surplus))
            self.drop(oldest)
            oldest.abort()
        self._report()
        return False

    def expect(self, connection: Waiting, wait: Wait, seconds: float | None = None) -> None:
        """Call `connection.overdue(wait)` after the time limit unless `forget` is called first.

        Replaces an earlier deadline. `seconds` None means the default limit.
        """
        if connection.wait is not None:
            self._waits[connection.wait].pop(connection, None)
        connection.wait = wait
        self._waits[wait][connection] = self._loop.time() + (seconds or self._seconds[wait])
        self._start()

    def forget(self, connection: Waiting) -> None:
        """Remove the deadline for what the connection sends."""
        if connection.wait is not None:
            self._waits[connection.wait].pop(connection, None)
            connection.wait = None

    def expect_reader(self, connection: Waiting) -> None:
        """Abort the connection if its client reads none of the unsent bytes within the time limit."""
        readers = self._waits[Wait.READER]
        if connection not in readers:
            self._unsent[connection] = connection.unsent()
            readers[connection] = self._loop.time() + self._seconds[Wait.READER]
        self._start()

    def forget_reader(self, connection: Waiting) -> None:
        """Remove the deadline for reading: the client has read enough."""
        self._waits[Wait.READER].pop(connection, None)
        self._unsent.pop(connection, None)

    def drop(self, connection: Waiting) -> None:
        """Forget a connection that is closed or that another protocol serves."""
        self.forget(connection)
        self.forget_reader(connection)
        self._surplus.pop(connection, None)

    def _start(self) -> None:
        if self._timer is None:
            self._sweep_at = self._loop.time() + SWEEP_SECONDS
            self._timer = self._loop.call_at(self._sweep_at, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._timer = None
        if now - self._sweep_at > LATE_SECONDS:
            self._start()  # something blocked the event loop: first read the data that arrived
            return
        for wait in Wait:
            late = []
            for connection, deadline in self._waits[wait].items():
                if deadline <= now:
                    late.append(connection)
                elif wait is not Wait.BODY:  # only bodies have deadlines of their own
                    break
            for connection in late:
                if wait is Wait.READER:
                    self._check_reader(connection)
                else:
                    self.forget(connection)
                    connection.overdue(wait)
        if any(self._waits):
            self._start()

    def _check_reader(self, connection: Waiting) -> None:
        before = self._unsent[connection]
        self.forget_reader(connection)
        if connection.unsent() >= before:
            connection.abort()
        else:
            self.expect_reader(connection)

    def _make_room(self) -> bool:
        """Close the connection that is needed least. Return False if there is none.

        The order is: a connection without any data, one that is being closed, one with an incomplete request head, an
        idle one.
        """
        now = self._loop.time()
        for wait, age in (
            (Wait.FIRST_BYTE, 0.0),
            (Wait.LAST_BYTE, 0.0),
            (Wait.HEAD, HEAD_AGE_SECONDS),
            (Wait.NEXT_REQUEST, HEAD_AGE_SECONDS),
        ):
            eldest = islice(self._waits[wait], CANDIDATES)
            oldest = next((each for each in eldest if each not in self._surplus and not each.unsent()), None)
            if oldest is not None and self._waits[wait][oldest] - self._seconds[wait] + age <= now:
                self.drop(oldest)
                oldest.abort()
                return True
        return False

    def _report(self) -> None:
        now = self._loop.time()
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            logger.warning(
                "All %s connections are in use, so new ones are refused: refused=%d. Start more processes, or raise "
                "MAX_CONNECTIONS and the limit of file descriptors (ulimit -n)",
                self._limit,
                self._refused,
            )


def connections_of(protocol: HttpToolsProtocol) -> Connections:
    """Return the connections of the protocol's server. All protocols of a server share them."""
    state = protocol.server_state
    found = getattr(state, STATE_ATTRIBUTE, None)
    if found is None:
        config = protocol.config
        found = Connections(config.limit_concurrency, protocol.loop, keep_alive_seconds=config.timeout_keep_alive)
        setattr(state, STATE_ATTRIBUTE, found)
    return cast(Connections, found)
