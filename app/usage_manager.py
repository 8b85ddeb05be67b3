"""Reads usage for callers."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from .access.principals import Principal
from .access.scopes import AccessScope
from .access.visible import ALL_OF_TENANT
from .errors import Forbidden
from .models.messages import Message
from .models.usage import GroupUsage, ModelUsage, UsageFilter, UsageGroup, UsageKey
from .policy.usage_table import checked_window
from .store.ports import UsageStore

READ_AT_ONCE = 20_000
"""Number of groups that one read of a whole report returns. Each read adds all usage of the window up again."""

YIELDED_AT_ONCE = 1_000
"""Number of groups of a whole report that are written together."""


class TimedUsageStore(UsageStore, Protocol):
    """The port of the usage manager, and the store's time."""

    def now(self) -> datetime:
        """Return the store's time."""


class UsageManager:
    """Reads the usage of messages, and that of hours for whoever may see it."""

    def __init__(self, store: TimedUsageStore) -> None:
        self._store = store

    async def of_message(self, message: Message) -> list[ModelUsage]:
        """Return what all attempts of a message have used, by model. Reads nothing if no worker had the message."""
        if message.fence == 0:
            return []
        return await self._store.message_usage(message.tenant, message.id)

    def window(self, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        """Return the window of usage between two times, with its defaults. Raises InvalidRequest."""
        return checked_window(since, until, self._store.now())

    async def page(
        self,
        caller: Principal,
        chosen: UsageFilter,
        groups: frozenset[UsageGroup],
        *,
        after: UsageKey | None,
        limit: int,
    ) -> list[GroupUsage]:
        """Return up to `limit` groups that follow `after`. Raises Forbidden for what the caller may not see."""
        visible = _visible(caller, chosen)
        return [] if visible is None else await self._store.list_usage(visible, groups, after=after, limit=limit)

    async def pages(
        self, caller: Principal, chosen: UsageFilter, groups: frozenset[UsageGroup]
    ) -> AsyncIterator[list[GroupUsage]]:
        """Yield all groups, in parts. Raises Forbidden for what the caller may not see."""
        after: UsageKey | None = None
        while found := await self.page(caller, chosen, groups, after=after, limit=READ_AT_ONCE):
            for first in range(0, len(found), YIELDED_AT_ONCE):
                yield found[first : first + YIELDED_AT_ONCE]
            if len(found) < READ_AT_ONCE:
                return
            after = found[-1].key


def _visible(caller: Principal, chosen: UsageFilter) -> UsageFilter | None:
    """Return the filter narrowed to what the caller may see: with the scope `admin` all, else their tenant or subject.

    Return None for nothing: to an end user, the usage of others is empty, as lists are. Usage does not tell of threads.
    Raises Forbidden for callers who may use some threads or agents only, and for another tenant.
    """
    if caller.threads is not None or caller.agents is not None:
        raise Forbidden(ALL_OF_TENANT)
    if AccessScope.ADMIN in caller.scopes and caller.subject is None:
        return chosen
    if chosen.tenant not in (None, caller.tenant):
        raise Forbidden("tenant: the usage of other tenants needs the scope admin.")
    if caller.subject is not None and chosen.subject not in (None, caller.subject):
        return None
    return chosen._replace(tenant=caller.tenant, subject=caller.subject or chosen.subject)
