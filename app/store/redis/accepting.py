"""Messages as their senders see them: accepted, looked at, cancelled, answered."""

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import (
    KeyReused,
    MessageNotFound,
    NotCancellable,
    NotInterrupted,
    NotQueued,
    QueueFull,
    ThreadBusy,
)
from ...models.messages import (
    Accepted,
    IfBusy,
    Message,
    MessageFilter,
    MessageState,
    NewMessage,
    Page,
    Priority,
    QueueSummary,
    RequestKey,
)
from ..parts import CLEARED_AT_ONCE, Cleared, ThreadKey, Unsettled, asks_of_thread, clear
from ..ports import CANCELS, KEY_SECONDS, MOVED, PAGE_TEXT_LENGTH, READY, message_topic
from ..rows import Receipt, accepted, events_text, options_of, preview
from . import replies, templates
from .calls import Calls

SCAN_LENGTH = 1_000
"""So many messages one script looks at for those that a filter means."""


class Accepting(Calls):
    """See `app.store.ports`."""

    async def add(self, new: Sequence[NewMessage], *, max_queued: int, key: RequestKey | None = None) -> Accepted:
        """See `AcceptStore.add`."""
        cleared = await self._clear(new, max_queued, key) if asks_of_thread(new) else {}
        fields = [field for each in new for field in self._fields_of(each)]
        ways = asks_of_thread(new) and any(each.if_busy in (IfBusy.INTERRUPT, IfBusy.ROLLBACK) for each in new)
        reply = await self._writes.run(
            "add", self._now(), max_queued, *_request(key), templates.CANCELLED if ways else "",
            json.dumps([(*thread, ids) for thread, ids in cleared.items()]) if cleared else "", *fields,
            topics=_topics_of_add,
        )  # fmt: skip
        match reply:
            case "full":
                raise QueueFull(max_queued)
            case "reused":
                raise KeyReused
            case ["busy", thread_id]:
                raise ThreadBusy(thread_id)
        replayed, receipts, *_, left = reply
        messages = [accepted(each, Receipt(*receipt)) for each, receipt in zip(new, receipts, strict=True)]
        if left:
            await self.settle(left, messages)
        return Accepted(messages, bool(replayed))

    async def _clear(
        self, new: Sequence[NewMessage], max_queued: int, key: RequestKey | None
    ) -> Mapping[ThreadKey, Sequence[str]]:
        """Cancel what waits in long threads that these messages clear; the ids by thread, oldest first."""

        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *(message_topic(message_id) for _, message_id in reply[2])) if reply else ()

        async def clear_part(threads: Sequence[ThreadKey]) -> Cleared:
            names = [name for thread in threads for name in thread]
            reply = await self._writes.run(
                "clear", self._now(), max_queued, len(new), *_request(key), templates.CANCELLED, CLEARED_AT_ONCE,
                *names, topics=topics,
            )  # fmt: skip
            return {(reply[0], reply[1]): [(number, message_id) for number, message_id in reply[2]]} if reply else {}

        return await clear(new, clear_part)

    async def settle(self, left: Sequence[tuple[str, str, int]], messages: Sequence[Message]) -> None:
        """Carry on with the ranks of the long threads of these messages, as the script `settle` has them."""
        await self._settling.complete(deque(map(Unsettled._make, left)), messages)

    def _fields_of(self, new: NewMessage) -> tuple[str | int, ...]:
        return (
            new.id,
            new.tenant,
            new.thread_id or "",
            new.agent,
            new.content,
            new.priority.value,
            self._ranks.rank(new.priority.level, 0),
            preview(new.content),
            options_of(new) or "",
            "" if new.run_at is None else self._clock.at(int(new.run_at.timestamp() * 1000)),
            int(new.delay_seconds * 1000) if new.run_at is None and new.delay_seconds > 0 else "",
            new.if_busy.value,
            new.webhook_url or "",
            events_text(new) or "",
        )

    async def get(self, tenant: str, message_id: str) -> Message:
        """See `QueryStore.get`."""
        reply = await self._reads.run("get", tenant, message_id)
        if reply is None:
            raise MessageNotFound(message_id)
        return replies.message(*reply)

    async def list_messages(self, tenant: str, chosen: MessageFilter, page: Page) -> list[Message]:
        """See `QueryStore.list_messages`. In several scripts where a filter passes over many, so none takes long."""
        states = "" if chosen.states is None else f" {' '.join(sorted(chosen.states))} "
        fields = (chosen.thread_id, chosen.agent, chosen.priority, chosen.error_code, chosen.fingerprint)
        meant = (states, *("" if field is None else f"={field}" for field in fields))
        found: list[Message] = []
        length = 0
        before: int | str | None = "" if page.cursor is None else page.cursor[0]
        while before is not None and len(found) < page.limit and length < PAGE_TEXT_LENGTH:
            rows, more, before = await self._reads.run(
                "list_messages", tenant, before, page.limit - len(found), PAGE_TEXT_LENGTH - length, SCAN_LENGTH, *meant
            )
            found += [replies.message(*each) for each in rows]
            length += more
        return found

    async def get_head(self, tenant: str, thread_id: str) -> Message | None:
        """See `QueryStore.get_head`."""
        reply = await self._reads.run("get_head", tenant, thread_id)
        return None if reply is None else replies.message(reply)

    async def cancel(self, tenant: str, message_id: str, *, running: bool = False) -> Message:
        """See `ControlStore.cancel`."""

        def topics(reply: Any) -> Iterable[str]:
            if not isinstance(reply, list):
                return ()
            if replies.message(reply[0]).state is MessageState.PROCESSING:
                return (CANCELS, message_topic(message_id))
            return (READY, MOVED, message_topic(message_id))

        reply = await self._writes.run(
            "cancel", self._now(), tenant, message_id, templates.CANCELLED, int(running), topics=topics
        )
        if reply is None:
            raise MessageNotFound(message_id)
        if isinstance(reply, str):
            raise NotCancellable(message_id, MessageState(reply), running=running)
        columns, left = reply
        cancelled = replies.message(columns)
        await self.settle(left, [cancelled])
        return cancelled

    async def reprioritize(self, tenant: str, message_id: str, priority: Priority) -> Message:
        """See `ControlStore.reprioritize`."""

        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, message_topic(message_id)) if isinstance(reply, list) else ()

        reply = await self._writes.run(
            "reprioritize", tenant, message_id, priority.value, *self._rank_of_each(), topics=topics
        )
        if reply is None:
            raise MessageNotFound(message_id)
        if isinstance(reply, str):
            raise NotQueued(message_id, MessageState(reply))
        *row, left = reply
        message = replies.message(*row)
        await self.settle(left, [message])
        return message

    async def resume(
        self, tenant: str, message_id: str, fence: int, value: str, *, key: RequestKey | None = None
    ) -> Accepted:
        """See `ControlStore.resume`."""

        def topics(reply: Any) -> Iterable[str]:
            changed = isinstance(reply, list) and not reply[2]
            return (READY, MOVED, message_topic(message_id)) if changed else ()

        reply = await self._writes.run(
            "resume", self._now(), tenant, message_id, fence, value, templates.RESUMED, *_request(key), topics=topics
        )
        if reply is None:
            raise MessageNotFound(message_id)
        if reply == "reused":
            raise KeyReused
        if isinstance(reply, str):
            raise NotInterrupted(message_id, MessageState(reply))
        columns, position, replayed = reply
        return Accepted([replies.message(columns, position)], bool(replayed))

    async def summary(self, tenant: str, *, limit: int) -> QueueSummary:
        """See `QueryStore.summary`."""
        return replies.summary(await self._reads.run("summary", tenant, limit, PAGE_TEXT_LENGTH))

    async def prune_keys(self) -> None:
        """See `UpkeepStore.prune_keys`: the server forgets them by itself."""

    def _rank_of_each(self) -> list[str | int]:
        """Each priority and its rank at time 0."""
        return [part for priority in Priority for part in (priority.value, self._ranks.rank(priority.level, 0))]


def _request(key: RequestKey | None) -> tuple[str, str, str, int]:
    """The key of a request as scripts take it."""
    return (*(key or ("", "", "")), KEY_SECONDS * 1000)


def _topics_of_add(reply: Any) -> Iterable[str]:
    if isinstance(reply, str) or reply[0] in ("busy", 1):
        return ()
    _, _, ready, cancelled, to_cancel, _ = reply
    topics = {MOVED, *map(message_topic, cancelled + to_cancel)}
    return topics | ({READY} if ready else set()) | ({CANCELS} if to_cancel else set())
