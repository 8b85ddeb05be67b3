"""Reads usage for callers."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from .access.principals import Principal
from .access.quotas import QuotaChecks, QuotaUse
from .access.scopes import AccessScope
from .access.visible import ALL_OF_TENANT
from .errors import Forbidden
from .models.keys import ApiKey
from .models.messages import Message
from .models.usage import GroupUsage, ModelUsage, UsageFilter, UsageGroup, UsageKey
from .policy.usage_table import checked_window
from .store.ports import UsageStore

READ_AT_ONCE = 20_000
"""Number of groups that one read of a whole report returns. Each read adds all usage of the window up again."""

YIELDED_AT_ONCE = 1_000
"""Number of groups of a whole report that are written together."""


class TimedUsageStore(UsageStore, Protocol):
    """The port of the usage manager, API keys, and the store's time."""

    async def get_key(self, tenant: str | None, key_id: str) -> ApiKey | None:
        """Return a key; with None for `tenant`, one of any tenant."""

    def now(self) -> datetime:
        """Return the store's time."""


class UsageManager:
    """Reads the usage of messages, and that of hours for whoever may see it."""

    def __init__(self, store: TimedUsageStore, quotas: QuotaChecks) -> None:
        self._store = store
        self._quotas = quotas

    async def quotas(self, caller: Principal, chosen: UsageFilter) -> list[QuotaUse]:
        """Return the quotas of a caller, or of the tenant, key and end user that the filter names, and their use.

        Raises Forbidden for what the caller may not see.
        """
        visible = _visible(caller, chosen)
        if visible is None:
            return []
        tenant, own = visible.tenant or caller.tenant, caller if chosen.key in (None, caller.key_id) else None
        if own is None and chosen.key is not None and caller.subject is None:
            key = await self._store.get_key(visible.tenant, chosen.key)
            if key is not None:
                tenant, own = key.tenant, caller._replace(tenant=key.tenant, key_id=key.id, key_quotas=key.quotas)
        return await self._quotas.uses(tenant, own, visible.subject)

    async def of_message(self, message: Message) -> list[ModelUsage]:
        """Return what all attempts of a message have used, by model. Reads nothing if no worker had the message."""
        if message.fence == 0:
            return []
        return await self._store.message_usage(message.tenant, message.id)

    async def of_messages(self, messages: Sequence[Message]) -> dict[str, list[ModelUsage]]:
        """Return the usage of messages of one tenant by their ids. Leave out those that used nothing."""
        begun = [each.id for each in messages if each.fence]
        return await self._store.usage_of_messages(messages[0].tenant, begun) if begun else {}

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
