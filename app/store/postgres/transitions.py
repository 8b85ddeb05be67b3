"""Reads the log of changes."""

import re

from typing_extensions import override

from ...models.transitions import TransitionPage
from ..ports import TransitionLog
from ..sql.rooms import SqlRooms
from ..sql.transitions import to_transition
from .queries import PostgresReads

_CURSOR = re.compile(r"([0-9a-f]{8})-(\d{1,18})-(\d{1,18})", re.ASCII)


class PostgresTransitions(SqlRooms, TransitionLog):
    """Implements `TransitionLog` on PostgreSQL.

    A cursor is the name of the log, the number of a transaction and the number of a change. The changes of a
    transaction are read when all older transactions have ended.
    """

    _lists: PostgresReads

    @override
    async def read_transitions(self, tenant: str | None, *, after: str | None, limit: int) -> TransitionPage:
        log, transaction, number = _parts(after)

        def read() -> TransitionPage:
            rows = self._lists.rows(
                "read_transitions", log=log, transaction=transaction, number=number, tenant=tenant, limit=limit
            )
            name, last_transaction, last_number, newer, known, *_ = rows[0]
            found = [
                to_transition(f"{name}-{row[5]}-{row[6]}", row[7:]) for row in rows if row[5] is not None
            ]  # without changes, there is one row with the bounds
            whole = len(found) < limit
            return TransitionPage(
                found,
                f"{name}-{last_transaction}-{last_number}" if whole else found[-1].cursor,
                missed=after is not None and not known,
                whole=whole,
                newer=newer,
            )

        return await self._list_thread.run(read)

    @override
    async def newest_transition(self) -> str:
        def newest() -> str:
            name, _, _, last_transaction, last_number, _ = self._lists.rows("transition_bounds")[0]
            return f"{name}-{last_transaction}-{last_number}"

        return await self._list_thread.run(newest)


def _parts(cursor: str | None) -> tuple[str, int, int]:
    """Return the parts of a cursor, an empty name for any other text."""
    found = _CURSOR.fullmatch(cursor or "")
    return (found[1], int(found[2]), int(found[3])) if found else ("", 0, 0)
