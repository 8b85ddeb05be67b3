"""Removes what erasures name: the part that both SQL stores share."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.erasures import Erasure, ErasureKind, NewErasure
from ..erasures import to_erasure
from ..ports import ErasureStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms

T = TypeVar("T")


class NameStage(NamedTuple):
    """A kind of records that `erase_names` cleans: the query, the kind as it is counted, the stage that follows."""

    query: str
    counted: str
    following: str


NAME_STAGES = {
    "request_keys": NameStage("erase_keys_by_name", "request_keys", "forks"),
    "forks": NameStage("erase_names_of_forks", "forks", "audit"),
    "audit": NameStage("erase_names_of_audit", "records", "transitions"),
    "transitions": NameStage("erase_names_of_transitions", "changes", "names"),
}
"""The stages by name. The query `end_of_NAME` finds the last record, and `part_of_NAME` the end of a part.
Then `names` forgets the erased names."""


class NamePlace(NamedTuple):
    """A place in a stage of `erase_names`: records behind `after` and up to `until` are left.

    `until` is the last record at the beginning of the stage, None before it. Records that come later have no erased
    names, since nothing of the target is left then.
    """

    stage: str
    after: str | int
    until: str | int | None

    @classmethod
    def of(cls, erasure: Erasure, text: str) -> "NamePlace":
        """Return the place that a text names, '' for the first. A tenant's request keys and threads are gone."""
        first = "audit" if erasure.kind is ErasureKind.TENANT else "request_keys"
        stage, _, place = (text or f"{first}:").partition(":")
        after, until = json.loads(place) if place else ("" if stage in ("request_keys", "forks") else 0, None)
        return cls(stage, after, until)

    def following(self, last: Any, until: Any) -> str:
        """Return the place behind `last`: in the same stage, or in the next one if `until` is reached."""
        if last >= until:  # texts in the order of their code points, as the database has them
            return f"{NAME_STAGES[self.stage].following}:"
        return f"{self.stage}:{json.dumps([last, until])}"


class ErasureChanges(RecordedChanges, Protocol):
    """Implements `ErasureStore` inside a transaction."""

    def begin_erasure(self, new: NewErasure) -> Erasure:
        """Implement `ErasureStore.begin_erasure`."""

    def claim_erasure(self, lease_ms: int) -> Erasure | None:
        """Implement `ErasureStore.claim_erasure`."""

    def release_erasure(self, erasure_id: str) -> None:
        """Implement `ErasureStore.release_erasure`."""

    def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        """Implement `ErasureStore.cancel_messages`."""

    def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        """Implement `ErasureStore.erase_messages`."""

    def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        """Implement `ErasureStore.erase_threads`."""

    def erase_rows(self, erasure: Erasure, limit: int) -> bool:
        """Implement `ErasureStore.erase_rows`."""

    def erase_names(self, erasure: Erasure, after: str, limit: int) -> str | None:
        """Implement `ErasureStore.erase_names`."""

    def left_to_erase(self, erasure: Erasure) -> bool:
        """Implement `ErasureStore.left_to_erase`."""

    def end_erasure(self, erasure: Erasure) -> bool:
        """Implement `ErasureStore.end_erasure`."""


class SqlErasures(SqlRooms, ErasureStore):
    """Implements `ErasureStore` for both SQL stores, on the thread of dead letters. Parts do not wait for the disk."""

    _dead_letter_thread: GroupCommitThread
    _erasures: ErasureChanges

    @override
    async def begin_erasure(self, new: NewErasure, *, audit: NewAudit | None = None) -> Erasure:
        changes = self._erasures
        return await self._dead_letter_thread.run(lambda: changes.recorded(audit, lambda: changes.begin_erasure(new)))

    @override
    async def get_erasure(self, tenant: str | None, erasure_id: str) -> Erasure | None:
        def read() -> Erasure | None:
            row = self._reads.row("get_erasure", tenant=tenant, id=erasure_id)
            return None if row is None else to_erasure(row)

        return await self._read_thread.run(read)

    @override
    async def list_erasures(self, tenant: str | None, *, limit: int) -> list[Erasure]:
        def read() -> list[Erasure]:
            return [to_erasure(row) for row in self._lists.rows("list_erasures", tenant=tenant, limit=limit)]

        return await self._list_thread.run(read)

    @override
    async def claim_erasure(self, *, lease_seconds: float) -> Erasure | None:
        return await self._part(lambda: self._erasures.claim_erasure(int(lease_seconds * 1000)))

    @override
    async def release_erasure(self, erasure_id: str) -> None:
        await self._part(lambda: self._erasures.release_erasure(erasure_id))

    @override
    async def cancel_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        return await self._part(lambda: self._erasures.cancel_messages(erasure, message_ids))

    @override
    async def erase_messages(self, erasure: Erasure, message_ids: Sequence[str]) -> int:
        erased = await self._part(lambda: self._erasures.erase_messages(erasure, message_ids))
        await self._delete_dropped_logs()
        return erased

    @override
    async def erase_threads(self, erasure: Erasure, thread_ids: Sequence[str]) -> int:
        return await self._part(lambda: self._erasures.erase_threads(erasure, thread_ids))

    @override
    async def erase_rows(self, erasure: Erasure, *, limit: int) -> bool:
        return await self._part(lambda: self._erasures.erase_rows(erasure, limit))

    @override
    async def erase_names(self, erasure: Erasure, after: str, *, limit: int) -> str | None:
        return await self._part(lambda: self._erasures.erase_names(erasure, after, limit))

    @override
    async def left_to_erase(self, erasure: Erasure) -> bool:
        await self._delete_dropped_logs()
        return await self._part(lambda: self._erasures.left_to_erase(erasure))

    @override
    async def end_erasure(self, erasure: Erasure) -> bool:
        return await self._dead_letter_thread.run(lambda: self._erasures.end_erasure(erasure))

    def _part(self, work: Callable[[], T]) -> Awaitable[T]:
        return self._dead_letter_thread.run(work, durable=False)
