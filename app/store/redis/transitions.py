"""Reads the log of changes."""

import re
from typing import Any

from typing_extensions import override

from ...models.transitions import Transition, TransitionPage, TransitionType
from ..ports import TransitionLog
from .rooms import RedisRooms

ENTRIES_AT_ONCE = 500
"""Maximum number of entries of the stream that one script reads. An entry has the changes of up to 64 operations."""

_CURSOR = re.compile(r"([0-9a-f]{8})-(\d{1,15})-(\d{1,15})-(\d{1,9})", re.ASCII)
_NO_CURSOR = ("", "0", "0", "0")


class RedisTransitions(RedisRooms, TransitionLog):
    """Implements `TransitionLog` on Redis.

    A cursor is the name of the log, the id of an entry of the stream, and the place of a change in the entry.
    """

    @override
    async def read_transitions(self, tenant: str | None, *, after: str | None, limit: int) -> TransitionPage:
        parsed = _CURSOR.fullmatch(after or "")
        cursor: tuple[str | Any, ...] = parsed.groups() if parsed else _NO_CURSOR
        found: list[Transition] = []
        missed: bool | None = None
        while True:
            name, known, more, (entry, place), changes = await self._reads.run(
                "read_transitions", *cursor, tenant or "", limit - len(found), ENTRIES_AT_ONCE
            )
            missed = not known if missed is None else missed
            found += [_transition(name, *change) for change in changes]
            if not more or len(found) == limit:
                last = f"{name}-{entry}-{place}"
                return TransitionPage(found, last, missed=after is not None and missed, whole=not more)
            cursor = (name, *entry.split("-"), place)

    @override
    async def newest_transition(self) -> str:
        name, entry, place = await self._reads.run("newest_transition")
        return f"{name}-{entry}-{place}"


def _transition(name: str, entry: str, place: int, change: list[Any]) -> Transition:
    """Return a change as `record` in `lua/shared/keys.lua` or `lua/shared/messages.lua` stores it."""
    at, tenant, kind, agent, priority, _, _, _, code, _, message_id, thread_id, before, worker_id = change
    fields = (message_id, thread_id, agent, priority, before, code, worker_id)
    return Transition(f"{name}-{entry}-{place}", at, tenant, TransitionType(kind), *(field or None for field in fields))
