"""What operations have in common: a session, the time, and the topics that were touched."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...clock import Clock
from ...models.events import NewEvent
from ..parts import Unsettled
from ..reads import Reads
from .connection import ReadOnly, Rows, Session, Step, step


class PostgresReads(Reads):
    """The queries on one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def each(self, query: str, /, **values: Any) -> Rows:
        """See `Reads.each`."""
        return self.session.rows(query, **values)

    def find_log(self, tenant: str, message_id: str, after: int, limit: int) -> tuple[str, int, int, Rows] | None:
        """See `Reads.find_log`; in one exchange with the server, since a reader waits for it at each event."""
        found, bounds, rows = self.session.run_all(
            step("find_log", tenant=tenant, id=message_id),
            step("log_bounds", id=message_id),
            step("read_events", id=message_id, after=after, limit=limit),
        )
        return (found[0][1], *bounds[0], rows) if found else None

    def prove_writable(self) -> None:
        """Raises ReadOnly, of which the session lets go of its connection."""
        if self.value("is_read_only"):
            raise ReadOnly


class Writes(PostgresReads):
    """Base of what changes something, in transactions of its own; `touched` has the topics to hint at afterwards.

    Locks are taken in one order: threads before messages, each sorted by their keys.
    """

    def __init__(self, session: Session, clock: Clock) -> None:
        super().__init__(session)
        self.clock = clock
        self.touched = session.touched
        self.unsettled: deque[Unsettled] = deque()
        """Long threads whose ranks `Controlling.settle` has to carry on."""

    @contextmanager
    def transaction(self, *first: Step) -> Iterator[tuple[int, list[Rows]]]:
        """The time, as of when the first steps had their locks, and the rows of these."""
        self.touched.clear()
        try:
            with self.session.transaction(*first) as rows:
                yield self.clock.now(), rows
        except BaseException:
            self.touched.clear()
            raise


def next_events(events: Mapping[int, NewEvent], now: int) -> Step:
    """What adds an event to the log of each of these messages, under the locks of the messages."""
    return step(
        "add_next_events",
        messages=list(events),
        types=[event.type.value for event in events.values()],
        data=[event.data for event in events.values()],
        now=now,
    )


class NewRows:
    """Events to be added in one statement."""

    def __init__(self) -> None:
        self._messages: list[int] = []
        self._ids: list[int] = []
        self._types: list[str] = []
        self._data: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to add."""
        return not self._messages

    def append(self, message: int, last: int, events: Sequence[NewEvent]) -> int:
        """Events behind the last one of a message; the id of the last is returned."""
        for event in events:
            last += 1
            self._messages.append(message)
            self._ids.append(last)
            self._types.append(event.type.value)
            self._data.append(event.data)
        return last

    def step(self, now: int) -> Step:
        """What adds them."""
        return step("add_events", messages=self._messages, ids=self._ids, types=self._types, data=self._data, now=now)
