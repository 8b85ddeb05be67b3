"""Changes accepted messages: the part that both SQL stores share."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from typing_extensions import override

from ...models.audit import NewAudit
from ...models.messages import Accepted, Message, NewMessage, Priority, RequestKey
from ..parts import AcceptRules, Settling, ThreadKey, Unsettled
from ..ports import ControlStore
from .audit import RecordedChanges
from .group_commit import GroupCommitThread
from .rooms import SqlRooms

logger = logging.getLogger(__name__)


READ_AT_ONCE = 250
"""Maximum number of messages that a requeue reads in one transaction."""


class ControlChanges(RecordedChanges, Protocol):
    """Implements `ControlStore` inside a transaction."""

    unsettled: deque[Unsettled]

    def cancel(self, tenant: str, message_id: str, running: bool, asks: bool = False) -> Message:
        """Implement `ControlStore.cancel`."""

    def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """Implement `ControlStore.reprioritize`."""

    def resume(
        self, tenant: str, message_id: str, fence: int, value: str, key: RequestKey | None, alias: str | None
    ) -> Accepted:
        """Implement `ControlStore.resume`."""

    def requeue(self, tenant: str, message_ids: Sequence[str], given: Mapping[str, Message]) -> list[Message]:
        """Implement `ControlStore.requeue`, without positions. `given` has the messages by id, as they were before."""

    def purge(self, tenant: str, message_ids: Sequence[str]) -> list[str]:
        """Implement `ControlStore.purge`."""

    def clear(
        self, threads: Sequence[ThreadKey], new: Sequence[NewMessage], rules: AcceptRules, key: RequestKey | None
    ) -> dict[ThreadKey, list[tuple[int, str]]]:
        """Prepare to add `new` to `threads`: cancel the last waiting messages of one long thread.

        Returns (thread number, id) of each cancelled message, by thread. Returns nothing if no thread is long. Returns
        nothing if `new` will be refused, because of `rules`, a taken alias or a foreign thread, or if `key` was used
        before. Adds the record of `rules` for the cancelled messages.
        """

    def settle(self, place: Unsettled) -> Unsettled | None:
        """Settle up to SETTLED_AT_ONCE messages of the thread in `place`.

        Return the place at which to continue, None if the remaining ranks are right.
        """

    def pause(self, paused: bool) -> None:
        """Implement `ControlStore.pause`."""

    def drain_worker(self, worker_id: str, draining: bool) -> None:
        """Implement `ControlStore.drain_worker`."""


class SqlControl(SqlRooms, ControlStore):
    """Implements `ControlStore` for both SQL stores. Requeue and purge may have a GroupCommitThread of their own."""

    _control_thread: GroupCommitThread
    _control: ControlChanges
    _dead_letter_thread: GroupCommitThread
    _dead_letters: ControlChanges
    _settling: Settling

    @override
    async def cancel(
        self,
        tenant: str,
        message_id: str,
        *,
        running: bool = False,
        asks: bool = False,
        audit: NewAudit | None = None,
    ) -> Message:
        cancelled = await self._control_thread.run(
            lambda: self._control.recorded(audit, lambda: self._control.cancel(tenant, message_id, running, asks))
        )
        await self._settling.complete(self._control.unsettled, [cancelled])
        return cancelled

    @override
    async def reprioritize(
        self, tenant: str, message_id: str, priority: Priority, *, audit: NewAudit | None = None
    ) -> Message:
        message = await self._control_thread.run(
            lambda: self._control.recorded(audit, lambda: self._control.reprioritize(tenant, message_id, priority))
        )
        await self._settling.complete(self._control.unsettled, [message])
        return message

    @override
    async def resume(
        self,
        tenant: str,
        message_id: str,
        fence: int,
        value: str,
        *,
        key: RequestKey | None = None,
        alias: str | None = None,
        audit: NewAudit | None = None,
    ) -> Accepted:
        return await self._control_thread.run(
            lambda: self._control.recorded(
                audit, lambda: self._control.resume(tenant, message_id, fence, value, key, alias)
            )
        )

    @override
    async def requeue(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[Message]:
        ids = list(dict.fromkeys(message_ids))
        given: dict[str, Message] = {}
        for start in range(0, len(ids), READ_AT_ONCE):
            part = ids[start : start + READ_AT_ONCE]
            read = await self._list_thread.run(partial(self._lists.messages, tenant, part))
            given |= {each.id: each for each in read}
        messages = await self._dead_letter_thread.run(
            lambda: self._dead_letters.recorded(audit, lambda: self._dead_letters.requeue(tenant, ids, given))
        )
        await self._settling.complete(self._dead_letters.unsettled, messages)
        await self._try_to_delete_dropped_logs()
        return await self._list_thread.run(lambda: self._lists.with_new_positions(messages))

    @override
    async def purge(self, tenant: str, message_ids: Sequence[str], *, audit: NewAudit | None = None) -> list[str]:
        ids = list(dict.fromkeys(message_ids))
        keys = await self._dead_letter_thread.run(
            lambda: self._dead_letters.recorded(audit, lambda: self._dead_letters.purge(tenant, ids))
        )
        await self._try_to_delete_dropped_logs()
        return keys

    @override
    async def pause(self, paused: bool, *, audit: NewAudit | None = None) -> None:
        await self._control_thread.run(lambda: self._control.recorded(audit, lambda: self._control.pause(paused)))

    @override
    async def drain_worker(self, worker_id: str, *, draining: bool, audit: NewAudit | None = None) -> None:
        await self._control_thread.run(
            lambda: self._control.recorded(audit, lambda: self._control.drain_worker(worker_id, draining))
        )
