"""Reads messages and totals."""

from collections.abc import Sequence
from typing import Protocol

from ...models.attempts import FailedAttempt
from ...models.messages import Alias, DeadLetterGroup, Message, MessageFilter, MessagePart, Page, QueueSummary
from ...models.workers import Throughput


class QueryStore(Protocol):
    """Reads messages and totals.

    Each method but `list_messages`, `search_messages`, `with_positions` and `count_messages` reads one snapshot.
    Lists of messages do not read `options`, which may have megabytes. Their messages have the default options.
    """

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message, with its position while it is queued.

        Raises MessageNotFound, also for another tenant's message.
        """

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """Return the first unfinished message of a thread, without its position; None if there is none."""

    async def find_alias(self, tenant: str, alias: str) -> Alias | None:
        """Return the message of the tenant that an alias names; None if there is none, or its message was deleted."""

    async def list_aliases(self, tenant: str, message_id: str) -> dict[str, int]:
        """Return the aliases of a message and their first events, in the order of these events, then by name.

        The result is empty for an unknown message, or for another tenant's message.
        """

    async def list_messages(
        self, tenant: str, chosen: MessageFilter, page: Page, *, positions: bool = True
    ) -> list[Message]:
        """Return messages with their queue positions, newest first. With `positions=False`, they may lack positions.

        The cursor is (number, "") of the last message seen. A page also ends before `limit` when its texts reach
        PAGE_TEXT_LENGTH. It has at least one message if any is left.
        """

    async def search_messages(self, tenant: str, chosen: MessageFilter, page: Page, *, seconds: float) -> MessagePart:
        """Return messages like `list_messages`, without their positions, as far as they are found in about this time.

        Reads in short steps, between which the store does other work. At least one step is made.
        """

    async def with_positions(self, tenant: str, messages: Sequence[Message]) -> list[Message]:
        """Return listed messages with their present positions, in the same order.

        The position of a message that is no longer queued, or is another tenant's, is None.
        """

    async def count_messages(self, tenant: str, chosen: MessageFilter, *, most: int) -> int:
        """Return how many messages match the filter. The count ends at `most`: then there are at least as many."""

    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """Return the failed attempts of these messages by message id, oldest first, including attempts of lost workers.

        The list of an unknown message, or of another tenant's message, is empty.
        """

    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        """Return failed messages grouped by fingerprint, the group with the latest failure first."""

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """Return totals by state, queued messages in claim order, and processing messages, oldest first.

        Each list has at most `limit` messages. It ends early when its texts reach PAGE_TEXT_LENGTH.
        """

    async def throughput(self) -> Throughput:
        """Return slots, running messages and the mean run time of the last THROUGHPUT_MESSAGES completed messages."""
