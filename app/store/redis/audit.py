"""Reads the audit log."""

import json

from typing_extensions import override

from ...clock import to_milliseconds
from ...models.audit import AuditFilter, AuditRecord
from ..ports import AuditStore
from ..rows import AUDIT_COLUMNS, audit_of
from .rooms import RedisRooms

READ_AT_ONCE = 1_000
"""Maximum number of records that one script reads."""


class RedisAudit(RedisRooms, AuditStore):
    """Implements `AuditStore` on Redis."""

    @override
    async def list_audit(
        self, chosen: AuditFilter, *, after: int | None, limit: int, newest_first: bool
    ) -> list[AuditRecord]:
        times = {"since": chosen.since, "until": chosen.until}
        values = chosen._asdict() | {name: time and to_milliseconds(time) for name, time in times.items()}
        wanted = json.dumps({name: value for name, value in values.items() if value is not None})
        found: list[AuditRecord] = []
        last: str | int | None = after
        while True:
            begin = "" if last is None else last
            last, part = await self._reads.run("list_audit", begin, int(newest_first), READ_AT_ONCE, wanted)
            for number, text in part:
                record = json.loads(text)
                found.append(audit_of(int(number), *(record.get(name) for name in AUDIT_COLUMNS[1:])))
            if last is None or len(found) >= limit:
                return found[:limit]
