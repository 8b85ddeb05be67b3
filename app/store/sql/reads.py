"""Reads that both SQL stores share, made of the named queries of each dialect."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ...clock import to_datetime
from ...errors import MessageNotFound
from ...models.attempts import FailedAttempt
from ...models.deliveries import Delivery, DeliveryFilter, DeliveryRecord, DeliveryState, WebhookEvent
from ...models.events import EVENT_TYPES, Event, EventPage
from ...models.messages import (
    Alias,
    DeadLetterGroup,
    Message,
    MessageFilter,
    MessagePart,
    MessageState,
    Page,
    Priority,
    QueueSummary,
)
from ...models.workers import Throughput
from ...policy.text_search import FOLDED_TO_ASCII
from ..limits import OVERTAKING_COUNTED, PAGE_LOG_LENGTH, PAGE_TEXT_LENGTH, THROUGHPUT_MESSAGES
from ..metadata import wanted_metadata
from ..rows import (
    to_delivery,
    to_delivery_record,
    to_failed_attempt,
    to_groups,
    to_message,
)
from .positions import PositionReads
from .scanning import PartCount, PartPlace, ScanPart, text_length
from .thread_reads import ThreadReads, array, visible_values
from .worker_reads import WorkerReads

FEW_UNFINISHED = 5_000
"""Maximum number of unfinished messages that one query lists, without a scan in parts."""

FAILED, CANCELLED = frozenset({MessageState.FAILED}), frozenset({MessageState.CANCELLED})
UNFINISHED = frozenset({MessageState.QUEUED, MessageState.PROCESSING, MessageState.INTERRUPTED})
_QUEUED = MessageState.QUEUED

FOLDING = f"[{FOLDED_TO_ASCII}]"
"""A pattern that finds one of these characters."""


class Reads(WorkerReads, ThreadReads, PositionReads):
    """Reads inside a transaction, on the thread that owns the connection."""

    def queue_id(self) -> str:
        """Implement `Store.queue_id`."""
        return str(self.value("queue_id"))

    def message(self, tenant: str, message_id: str) -> Message:
        """Implement `QueryStore.get`."""
        row = self.row("get_message", id=message_id, tenant=tenant)
        if row is None:
            raise MessageNotFound(message_id)
        return self._with_position(to_message(row))

    def alias(self, tenant: str, alias: str) -> Alias | None:
        """Implement `QueryStore.find_alias`."""
        row = self.row("find_alias", tenant=tenant, alias=alias)
        return None if row is None else Alias._make(row)

    def aliases(self, tenant: str, message_id: str) -> dict[str, int]:
        """Implement `QueryStore.list_aliases`."""
        return dict(self.each("list_aliases", tenant=tenant, id=message_id))

    def messages(self, tenant: str, message_ids: Sequence[str]) -> list[Message]:
        """Return the messages with these ids that belong to the tenant, without positions."""
        return list(map(to_message, self.each("get_messages", tenant=tenant, ids=json.dumps(message_ids))))

    def with_new_positions(self, messages: Sequence[Message]) -> list[Message]:
        """Return messages that were just queued, with their positions. A message that was claimed meanwhile gets 0."""
        numbers = [each.number for each in messages]
        ranks = dict(self.each("find_places", numbers=json.dumps(numbers)))
        positions = self.newest_positions([(ranks.get(number), number) for number in numbers])
        return [each._replace(queue_position=place or 0) for each, place in zip(messages, positions, strict=True)]

    def _with_position(self, message: Message) -> Message:
        if message.state is not MessageState.QUEUED:
            return message
        return message._replace(queue_position=self.position(message.tenant, message.id))

    def position(self, tenant: str, message_id: str) -> int | None:
        """Return how many messages would be claimed before this one, None if it is delayed or not queued."""
        found = self.row("place_in_queue", id=message_id, tenant=tenant)
        if found is None:
            return None
        number, rank, _ = found
        return None if rank is None else self.count_before(number, rank)

    def overtaking(self, tenant: str, message_id: str) -> int:
        """Implement `ShareStore.count_overtaking`."""
        number, rank, _ = self.row("place_in_queue", id=message_id, tenant=tenant) or (0, None, None)
        values = {"rank": rank, "number": number, "most": OVERTAKING_COUNTED}
        return 0 if rank is None else int(self.value("count_overtaking", **values))

    def with_positions(self, tenant: str, messages: Sequence[Message]) -> list[Message]:
        """Implement `QueryStore.with_positions`."""
        located = iter(self._with_positions([each for each in messages if each.tenant == tenant]))
        return [next(located) if each.tenant == tenant else each._replace(queue_position=None) for each in messages]

    def _with_positions(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with their positions, which are counted together: each end of a level is read once."""
        queued = [each.number for each in messages if each.state is _QUEUED]
        if not queued:
            return list(messages)
        places = {
            number: (rank, number)
            for number, rank in self.each("find_places", numbers=json.dumps(queued))
            if rank is not None
        }
        positions = self.positions_of(list(places.values()))
        return [each._replace(queue_position=positions.get(places.get(each.number, (0, 0)))) for each in messages]

    def summary(self, tenant: str, limit: int) -> QueueSummary:
        """Implement `QueryStore.summary`."""
        totals = dict.fromkeys(MessageState, 0)
        waiting = dict.fromkeys(Priority, 0)
        for state, priority, count in self.each("tallies", tenant=tenant):
            totals[MessageState(state)] += count
            if state == _QUEUED:
                waiting[Priority(priority)] = count
        queued = self._page("list_queued", tenant=tenant, limit=limit)
        if len(queued) < limit and text_length(queued) < PAGE_TEXT_LENGTH:
            queued += self._page("list_delayed", tenant=tenant, limit=limit - len(queued))
        return QueueSummary(
            totals=totals,
            queued_by_priority=waiting,
            queued=tuple(queued),
            processing=tuple(self._page("list_processing", tenant=tenant, limit=limit)),
        )

    def _page(self, query: str, /, most: int = PAGE_TEXT_LENGTH, **values: Any) -> list[Message]:
        """Return messages of a query until their texts have `most` characters."""
        messages: list[Message] = []
        length = 0
        for row in self.each(query, **values):
            messages.append(to_message(row))
            length += text_length(messages[-1:])
            if length >= most:
                break
        return messages

    def scan_part(self, tenant: str, chosen: MessageFilter, part: ScanPart, *, positions: bool) -> MessagePart:
        """Return one part of `QueryStore.list_messages`."""
        place = self._place_of(tenant, chosen, part)
        if place is None:
            return MessagePart([], None)
        messages = self._page(f"list_{place.source}", most=part.length, **place.values)
        cut = len(messages) >= part.limit or text_length(messages) >= part.length
        before = messages[-1].number if cut and messages else place.before
        return MessagePart(self._with_positions(messages) if positions else messages, before)

    def message_count_part(self, tenant: str, chosen: MessageFilter, part: ScanPart) -> PartCount:
        """Return one part of `QueryStore.count_messages`."""
        place = self._place_of(tenant, chosen, part)
        if place is None:
            return PartCount(0, None)
        return PartCount(int(self.value(f"count_{place.source}", **place.values)), place.before)

    def _place_of(self, tenant: str, chosen: MessageFilter, part: ScanPart) -> PartPlace | None:
        """Return where to read a part, None behind the end. Uses the index that skips the fewest messages."""
        values = {
            "tenant": tenant,
            "states": None if chosen.states is None else json.dumps(sorted(chosen.states)),
            "agent": chosen.agent,
            "priority": chosen.priority,
            "error_code": chosen.error_code,
            "fingerprint": chosen.fingerprint,
            "metadata": wanted_metadata(chosen),
            "hint": chosen.hint,
            "folding": FOLDING,
            **visible_values(chosen.visible),
            "limit": part.limit,
            "before": 2**62 if part.before is None else part.before,
        }
        if chosen.thread_id is not None:
            return self._place_in_thread(chosen.thread_id, part, values)
        if (
            chosen.states is not None
            and chosen.states <= UNFINISHED
            and self.value("count_unfinished") <= FEW_UNFINISHED
        ):
            return PartPlace("unfinished_messages", values, None)
        source = _source_of(chosen)
        place = {"tenant": tenant, "subject": chosen.visible.subject, "before": values["before"]}
        newest: int | None = self.value(f"newest_{source}", **place)
        if newest is None:
            return None
        first = newest - part.window + 1
        return PartPlace(source, {"first": first, **values}, None if first <= 1 else first)

    def _place_in_thread(self, thread_id: str, part: ScanPart, values: dict[str, Any]) -> PartPlace | None:
        """Return where to read a part of a thread. Its messages have the same order by thread number and by number."""
        place = {"tenant": values["tenant"], "thread_id": thread_id, "before": values["before"]}
        newest = self.row("newest_in_thread" if part.before is None else "newest_in_thread_before", **place)
        if newest is None:
            return None
        last, _ = newest
        values |= {"thread_id": thread_id, "last": last, "first": last - part.window + 1}
        if last - part.window < 1:
            return PartPlace("in_thread", values, None)
        below = self.value("number_in_thread", tenant=values["tenant"], thread_id=thread_id, below=last - part.window)
        return PartPlace("in_thread", values, None if below is None else below + 1)

    def head(self, tenant: str, thread_id: str) -> Message | None:
        """Implement `QueryStore.get_head`."""
        row = self.row("get_head", tenant=tenant, thread_id=thread_id)
        return None if row is None else to_message(row)

    def attempts(self, tenant: str, message_ids: Sequence[str]) -> dict[str, list[FailedAttempt]]:
        """Implement `QueryStore.list_attempts`."""
        found: dict[str, list[FailedAttempt]] = {message_id: [] for message_id in message_ids}
        for message_id, *attempt in self.each("list_attempts", tenant=tenant, ids=json.dumps(list(message_ids))):
            found[message_id].append(to_failed_attempt(attempt))
        return found

    def dead_letter_groups(self, tenant: str, limit: int) -> list[DeadLetterGroup]:
        """Implement `QueryStore.group_dead_letters`."""
        return [
            DeadLetterGroup(
                fingerprint=fingerprint,
                count=count,
                error=error,
                error_code=error_code,
                first_failed_at=to_datetime(first),
                last_failed_at=to_datetime(last),
            )
            for fingerprint, count, error, error_code, first, last in self.each(
                "group_dead_letters", tenant=tenant, limit=limit
            )
        ]

    def deliveries(self, tenant: str, message_id: str) -> list[Delivery]:
        """Implement `WebhookStore.list_deliveries`."""
        return [to_delivery(row) for row in self.each("list_deliveries", tenant=tenant, message_id=message_id)]

    def delivery_records(self, tenant: str, chosen: DeliveryFilter, page: Page) -> list[DeliveryRecord]:
        """Implement `WebhookStore.find_deliveries`."""
        created_at, delivery_id = page.cursor or (2**62, "")
        values = {
            "tenant": tenant,
            "states": json.dumps(sorted(DeliveryState if chosen.states is None else chosen.states)),
            "events": json.dumps(sorted(WebhookEvent if chosen.events is None else chosen.events)),
            "created_at": created_at,
            "id": delivery_id,
            "limit": page.limit,
        }
        if chosen.message_id is None:
            rows = self.each("find_deliveries", **values)
        else:
            rows = self.each("find_deliveries_of_message", message_id=chosen.message_id, **values)
        return list(map(to_delivery_record, rows))

    def throughput(self) -> Throughput:
        """Implement `QueryStore.throughput`."""
        paused, groups, draining, running, run_ms = self.rows("throughput", limit=THROUGHPUT_MESSAGES)[0]
        slots_of_groups: list[tuple[int, str]] = json.loads(groups)
        by_agents = dict(self.rows("count_running_by_agents")) if len({text for _, text in slots_of_groups}) > 1 else {}
        return Throughput(
            bool(paused),
            sum(slots for slots, _ in slots_of_groups),
            int(running),
            None if run_ms is None else float(run_ms) / 1000,
            to_groups(slots_of_groups, int(running), by_agents),
            int(draining),
        )

    def thread_messages(
        self, tenant: str, thread_id: str, after: int, limit: int, agents: frozenset[str] | None = None
    ) -> list[Message]:
        """Implement `ThreadStore.list_thread_messages`."""
        self.thread(tenant, thread_id)
        found = self._page(
            "list_thread_messages", tenant=tenant, thread_id=thread_id, after=after, limit=limit, agents=array(agents)
        )
        return self._with_positions(found)

    def read_log(self, tenant: str, message_id: str, after: int, limit: int) -> EventPage:
        """Implement `EventLog.read`."""
        found = self.find_log(tenant, message_id, after, limit)
        if found is None:
            raise MessageNotFound(message_id)
        state, first, last, rows = found
        events: list[Event] = []
        length = 0
        for number, kind, data, at in rows:
            events.append(Event(int(number), EVENT_TYPES[str(kind)], str(data), int(at)))
            length += len(str(data))
            if length >= PAGE_LOG_LENGTH:
                break
        return EventPage(events, first, last, MessageState(state))

    def find_log(
        self, tenant: str, message_id: str, after: int, limit: int
    ) -> tuple[str, int, int, Iterable[tuple[Any, ...]]] | None:
        """Return (state, first event id, last event id, rows after `after`), None if there is no such message."""
        found = self.row("find_log", tenant=tenant, id=message_id)
        if found is None:
            return None
        message, state = found
        first, last = self.rows("log_bounds", message=message)[0]
        return state, first, last, self.each("read_events", message=message, after=after, limit=limit)


def _source_of(chosen: MessageFilter) -> str:
    if chosen.visible.subject is not None:
        return "of_subject"
    if chosen.states == FAILED or chosen.error_code is not None or chosen.fingerprint is not None:
        return "failed"
    return "cancelled" if chosen.states == CANCELLED else "messages"
