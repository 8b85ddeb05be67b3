"""Reads messages and the state of the queue."""

import json
import math
from collections.abc import Sequence
from time import monotonic

from typing_extensions import override

from ...errors import MessageNotFound
from ...models.attempts import FailedAttempt
from ...models.messages import (
    Alias,
    DeadLetterGroup,
    Message,
    MessageFilter,
    MessagePart,
    MessageState,
    Page,
    QueueSummary,
)
from ...models.visibility import Visibility
from ...models.workers import Throughput
from ...policy.text_search import FOLDED_TO_ASCII
from ..limits import PAGE_TEXT_LENGTH, THROUGHPUT_MESSAGES
from ..metadata import wanted_metadata
from ..ports import QueryStore
from . import replies
from .rooms import RedisRooms

SCAN_LENGTH = 1_000
"""Maximum number of messages that one script compares with a filter."""

HINTED_LENGTH = 500
"""The same for a filter with a hint, whose comparison reads texts: about 18 us of the server for each message."""


def visible_arguments(visible: Visibility) -> tuple[str, str]:
    """Return the arguments that `visible.lua` takes: the subject with = before it or '', and the rest as JSON or ''."""
    subject = "" if visible.subject is None else f"={visible.subject}"
    if visible.threads is None and visible.agents is None:
        return subject, ""
    narrowed: dict[str, object] = {}
    if visible.threads is not None:
        narrowed["threads"] = dict.fromkeys(visible.threads.ids, True)
        narrowed["prefix"] = visible.threads.prefix or ""
    if visible.agents is not None:
        narrowed["agents"] = dict.fromkeys(visible.agents, True)
    return subject, json.dumps(narrowed)


class RedisQueries(RedisRooms, QueryStore):
    """Implements `QueryStore` on Redis."""

    @override
    async def get(self, tenant: str, message_id: str) -> Message:
        reply = await self._reads.run("get", tenant, message_id)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.message(*reply)

    @override
    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        reply = await self._reads.run("get_head", tenant, thread_id)
        return None if reply is None else replies.message(reply)

    @override
    async def find_alias(self, tenant: str, alias: str) -> Alias | None:
        reply = await self._reads.run("find_alias", tenant, alias)
        return None if reply is None else Alias(*reply)

    @override
    async def list_aliases(self, tenant: str, message_id: str) -> dict[str, int]:
        found = await self._reads.run("list_aliases", tenant, message_id)
        return {alias: first for first, alias in sorted((first, alias) for alias, first in found)}

    @override
    async def list_messages(
        self, tenant: str, chosen: MessageFilter, page: Page, *, positions: bool = True
    ) -> list[Message]:
        # Reads positions in any case: Redis knows the rank of a member without counting.
        return (await self.search_messages(tenant, chosen, page, seconds=math.inf)).messages

    @override
    async def search_messages(self, tenant: str, chosen: MessageFilter, page: Page, *, seconds: float) -> MessagePart:
        # A filter may skip many messages. Several short scripts let the server do other work in between.
        found: list[Message] = []
        length = 0
        before: int | str = "" if page.cursor is None else page.cursor[0]
        end = monotonic() + seconds
        while True:
            rows, more, last = await self._reads.run(
                "list_messages",
                tenant,
                before,
                page.limit - len(found),
                PAGE_TEXT_LENGTH - length,
                SCAN_LENGTH if chosen.hint is None else HINTED_LENGTH,
                *_filter_arguments(chosen),
            )
            found += [replies.message(*each) for each in rows]
            length += more
            if last is None or len(found) >= page.limit or length >= PAGE_TEXT_LENGTH or monotonic() >= end:
                return MessagePart(found, None if last is None else int(last))
            before = int(last)

    @override
    async def with_positions(self, tenant: str, messages: Sequence[Message]) -> list[Message]:
        queued = [each for each in messages if each.state is MessageState.QUEUED and each.tenant == tenant]
        found: dict[str, int | None] = {}
        for first in range(0, len(queued), SCAN_LENGTH):
            part = queued[first : first + SCAN_LENGTH]
            positions = await self._reads.run(
                "positions", *(field for each in part for field in (each.number, each.id))
            )
            found |= zip((each.id for each in part), positions, strict=True)
        return [each._replace(queue_position=found.get(each.id)) for each in messages]

    @override
    async def count_messages(self, tenant: str, chosen: MessageFilter, *, most: int) -> int:
        total = 0
        before: int | str | None = ""
        while before is not None and total < most:
            count, before = await self._reads.run(
                "count_messages", tenant, before, most - total, "", SCAN_LENGTH, *_filter_arguments(chosen)
            )
            total += int(count)
        return total

    @override
    async def list_attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        reply = await self._reads.run("list_attempts", tenant, *message_ids)
        return {
            message_id: list(map(replies.failed_attempt, rows))
            for message_id, rows in zip(message_ids, reply, strict=True)
        }

    @override
    async def group_dead_letters(self, tenant: str, *, limit: int) -> list[DeadLetterGroup]:
        return list(map(replies.dead_letter_group, await self._reads.run("group_dead_letters", tenant, limit)))

    @override
    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        return replies.summary(await self._reads.run("summary", tenant, limit, PAGE_TEXT_LENGTH))

    @override
    async def throughput(self) -> Throughput:
        return replies.throughput(await self._reads.run("throughput", THROUGHPUT_MESSAGES))


def _filter_arguments(chosen: MessageFilter) -> tuple[str, ...]:
    """Return the arguments that `chosen_messages.lua` takes from ARGV[6] on."""
    states = "" if chosen.states is None else f" {' '.join(sorted(chosen.states))} "
    fields = (chosen.thread_id, chosen.agent, chosen.priority, chosen.error_code, chosen.fingerprint)
    given = ("" if field is None else f"={field}" for field in fields)
    hint = chosen.hint or ""
    return wanted_metadata(chosen) or "", states, *given, *visible_arguments(chosen.visible), hint, FOLDED_TO_ASCII
