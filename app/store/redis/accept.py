"""Accepts messages."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from typing_extensions import override

from ...clock import to_datetime
from ...errors import AgentQueueError, AliasTaken, KeyReused, QueueFull, ThreadAsks, ThreadBusy, ThreadNotFound
from ...errors.erasures import ErasureInProgress
from ...errors.limits import TenantQueueFull
from ...errors.threads import MessageDeleted, ThreadMoved, ThreadNotReady
from ...models.audit import NewAudit
from ...models.limits import NO_LIMITS, Counted, Limits
from ...models.messages import Accepted, NewMessage, RequestKey
from ...policy.limits import refusal
from ..metadata import metadata_text, thread_patch
from ..parts import CLEARED_AT_ONCE, AcceptRules, Cleared, ThreadKey, aliases_of, clear, depend_on_threads
from ..ports import CANCELS, MOVED, READY, AcceptStore, message_topic
from ..receivers import receivers_text
from ..rows import Receipt, accepted, events_text, options_of, preview
from . import templates
from .limits import RedisLimits
from .rooms import key_arguments

REFUSALS: Mapping[str, Callable[[str], AgentQueueError]] = {
    "foreign": ThreadNotFound,
    "busy": ThreadBusy,
    "asks": ThreadAsks,
    "moved": ThreadMoved,
    "hidden": ThreadNotReady,
    "taken": AliasTaken,
    "erasing": ErasureInProgress,
}
"""Errors of the script `add` that name a thread or an alias."""


class RedisAccept(RedisLimits, AcceptStore):
    """Implements `AcceptStore` on Redis."""

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
        cancels = depend_on_threads(new)
        cleared: Mapping[ThreadKey, Sequence[str]] = {}
        if cancels and await self.may_pass(limits):
            cleared = await self._clear(new, rules, key)
        fields = [field for each in new for field in self._fields_of(each)]
        now = self._now()
        reply = await self._writes.run(
            "add", now, max_queued, *key_arguments(key), templates.CANCELLED if cancels else "",
            json.dumps([(*thread, ids) for thread, ids in cleared.items()]) if cleared else "",
            "" if max_queued_of_tenant is None else max_queued_of_tenant, _agents_of(rules) if cancels else "",
            limits.as_json, self._order, *fields,
            topics=_topics_of_add, audit=self._record(audit) if cancels else None,
        )  # fmt: skip
        if (refused := _refusal_of(reply, rules, now)) is not None:
            raise refused
        replayed, receipts, *_, left, rests = reply
        messages = [accepted(each, Receipt(*receipt)) for each, receipt in zip(new, receipts, strict=True)]
        if left:
            await self._settle(left, messages)
        return Accepted(messages, bool(replayed), counted=Counted(limits, rests) if rests else None)

    async def _clear(
        self, new: Sequence[NewMessage], rules: AcceptRules, key: RequestKey | None
    ) -> Mapping[ThreadKey, Sequence[str]]:
        """Cancel most of the waiting messages that `new` will cancel in long threads.

        Return, by thread, the ids of cancelled messages whose steps the agent has to forget, oldest first. Cancel
        nothing if `new` will be refused, because of `rules`, a taken alias or a foreign thread. Cancel nothing if
        `key` was used before.
        """

        def topics(reply: Any) -> Iterable[str]:
            return (MOVED, *(message_topic(message_id) for _, message_id in reply[2])) if reply else ()

        async def clear_part(threads: Sequence[ThreadKey]) -> Cleared:
            names = [name for thread in threads for name in thread]
            reply = await self._writes.run(
                "clear", self._now(), rules.max_queued, len(new), *key_arguments(key), templates.CANCELLED,
                CLEARED_AT_ONCE,
                json.dumps(aliases) if (aliases := aliases_of(new)) else "",
                "" if rules.max_queued_of_tenant is None else rules.max_queued_of_tenant, _subjects_of(new),
                _agents_of(rules), *names, topics=topics, audit=self._record(rules.audit),
            )  # fmt: skip
            return {(reply[0], reply[1]): [(number, message_id) for number, message_id in reply[2]]} if reply else {}

        return await clear(new, clear_part)

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
            _rarer_fields(new),
            new.key_id or "",
            new.trace or "",
        )


def _refusal_of(reply: Any, rules: AcceptRules, now: int) -> AgentQueueError | None:
    """Return the error for a reply of the script `add`, None if the messages were stored."""
    if isinstance(reply, str):
        errors = {
            "full": QueueFull(rules.max_queued),
            "full of tenant": TenantQueueFull(rules.max_queued_of_tenant or 0),
            "reused": KeyReused(),
            "gone": MessageDeleted(),
        }
        return errors[reply]
    match reply:
        case ["limited", index, value]:
            return refusal(rules.limits.each[index - 1], value, now)
        case [str(kind), name]:
            return REFUSALS[kind](name)
    return None


def _agents_of(rules: AcceptRules) -> str:
    """Return the agents whose messages may be cancelled, as a JSON array; empty for all agents."""
    return "" if rules.agents is None else json.dumps(sorted(rules.agents))


def _subjects_of(new: Sequence[NewMessage]) -> str:
    """Return tenant, thread and subject of the messages that have a thread and a subject, as a JSON array."""
    return json.dumps(
        [(each.tenant, each.thread_id, each.subject) for each in new if each.thread_id and each.subject is not None]
    )


def _rarer_fields(new: NewMessage) -> str:
    """Return the fields that few messages have, as one argument: empty for all other messages."""
    if (
        new.metadata is None
        and new.thread_name is None
        and new.last_number is None
        and new.webhook_key is None
        and new.subject is None
        and new.behind_question
        and not (new.aliases or new.rollback or new.receivers)
    ):
        return ""
    fields = {
        "metadata": metadata_text(new.metadata),
        "name": new.thread_name,
        "aliases": new.aliases or None,
        "rollback": new.rollback or None,
        "last_number": new.last_number,
        "webhook_key": new.webhook_key,
        "receivers": receivers_text(new.receivers),
        "subject": new.subject,
        "behind_question": None if new.behind_question else False,
    }
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    if patch := thread_patch((new,)):
        given["patch"] = json.loads(patch)
    return json.dumps(given)


def _topics_of_add(reply: Any) -> Iterable[str]:
    if isinstance(reply, str) or reply[0] in (*REFUSALS, "limited", 1):
        return ()
    _, _, ready, cancelled, to_cancel, *_ = reply
    topics = {MOVED, *map(message_topic, cancelled + to_cancel)}
    return topics | ({READY} if ready else set()) | ({CANCELS} if to_cancel else set())
