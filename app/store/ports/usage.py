"""Usage and cost of model calls. `EventLog.append` adds to it."""

from collections.abc import Sequence
from typing import Protocol

from ...models.usage import GroupUsage, ModelUsage, UsageFilter, UsageGroup, UsageKey


class UsageStore(Protocol):
    """Reads usage (tests/contract/test_usage.py).

    It is kept by message and model, and by hour, tenant, API key, subject, agent and model. The deletion of a message
    does not change the usage of its hours.
    """

    async def message_usage(self, tenant: str, message_id: str) -> list[ModelUsage]:
        """Return what all attempts of a message have used, by model, in the order of the models' names.

        Empty if it has used nothing, and for another tenant's message.
        """

    async def usage_of_messages(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[ModelUsage]]:
        """Return `message_usage` of each of these messages, by its id. Leave out those that used nothing."""

    async def list_usage(
        self, chosen: UsageFilter, groups: frozenset[UsageGroup], *, after: UsageKey | None, limit: int
    ) -> list[GroupUsage]:
        """Return the usage of up to `limit` groups that follow the group `after`, in the order of their keys.

        With `after` None, begin at the first group. `chosen.tenant` None means all tenants. Usage that is added between
        two pages may be in neither.
        """

    async def prune_usage(self, *, older_than_seconds: float, limit: int) -> int:
        """Delete the usage of hours that began more than `older_than_seconds` ago. Return how many rows were deleted.

        Deletes at most `limit` rows, or hours of a tenant if an engine keeps all rows of an hour together. Usage of a
        message is deleted with the message.
        """
