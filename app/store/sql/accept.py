"""Accepts messages: the part that both SQL stores share."""

from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from typing_extensions import override

from ...clock import to_datetime
from ...models.audit import NewAudit
from ...models.limits import NO_LIMITS, Limits
from ...models.messages import Accepted, NewMessage, RequestKey
from ..parts import AcceptRules, Cleared, Settling, ThreadKey, Unsettled, clear, depend_on_threads
from ..ports import AcceptStore
from .control import ControlChanges
from .group_commit import GroupCommitThread
from .limits import SqlLimits


class AcceptChanges(Protocol):
    """The members of an accept writer that `SqlAccept` uses."""

    unsettled: deque[Unsettled]


class SqlAccept(SqlLimits, AcceptStore):
    """Implements `AcceptStore` for both SQL stores."""

    _accept: AcceptChanges
    _control_thread: GroupCommitThread
    _control: ControlChanges
    _settling: Settling

    @override
    def now(self) -> datetime:
        return to_datetime(self._clock.now())

    @override
    async def add(
        self,
        new: Sequence[NewMessage],
        *,
        max_queued: int,
        max_queued_of_tenant: int | None = None,
        key: RequestKey | None = None,
        agents: frozenset[str] | None = None,
        audit: NewAudit | None = None,
        limits: Limits = NO_LIMITS,
    ) -> Accepted:
        rules = AcceptRules(max_queued, max_queued_of_tenant, agents, audit, limits)
        cleared: Mapping[ThreadKey, Sequence[str]] = {}
        if depend_on_threads(new) and await self.may_pass(limits):
            cleared = await self._clear(new, rules, key)
        accepted = await self._add(new, rules, key, cleared)
        if self._accept.unsettled:
            await self._settling.complete(self._accept.unsettled, accepted.messages)
        return accepted

    def _clear(
        self, new: Sequence[NewMessage], rules: AcceptRules, key: RequestKey | None
    ) -> Awaitable[Mapping[ThreadKey, Sequence[str]]]:
        """Cancel messages before the transaction that adds `new`, see `clear`."""

        def clear_part(threads: Sequence[ThreadKey]) -> Awaitable[Cleared]:
            return self._control_thread.run(lambda: self._control.clear(threads, new, rules, key))

        return clear(new, clear_part)

    @abstractmethod
    def _add(
        self,
        new: Sequence[NewMessage],
        rules: AcceptRules,
        key: RequestKey | None,
        cleared: Mapping[ThreadKey, Sequence[str]],
    ) -> Awaitable[Accepted]:
        """Add messages in a transaction. `cleared` has the ids that `clear` returned by thread, oldest first."""
