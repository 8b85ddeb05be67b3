"""Reads a queue through the ports of its store, as records in the order in which an import needs them."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from .. import __version__
from ..checkpoints.transfer import read_steps
from ..errors import MessageNotFound, ThreadNotFound
from ..models.attempts import FailedAttempt
from ..models.events import Event, EventType
from ..models.items import ItemSearch
from ..models.messages import DEFAULT_TENANT, Message, MessageFilter, MessageState, Page, Thread
from ..policy.lifecycle import TERMINAL
from ..store.ports import Store
from ..text import rfc3339
from .records import Head, ItemRecord, KeyRecord, MemoryRecord, MessageRecord, Record, TenantRecord, ThreadRecord

if TYPE_CHECKING:
    from ..checkpoints.saver import FencedSaver

PAGE = 500
READ_AT_ONCE = 32
"""Messages that are read at the same time."""


class Chosen(NamedTuple):
    """The parts of an export. `tenants` empty means the default tenant and all that have API keys or settings."""

    tenants: Sequence[str] = ()
    messages: MessageFilter = MessageFilter()

    @property
    def is_all(self) -> bool:
        """Return whether all messages are chosen. Keys, items and settings of tenants are exported only then."""
        return self.messages == MessageFilter()


class _Known(NamedTuple):
    """The part of each message that is kept in memory while its tenant is exported."""

    id: str
    thread_id: str | None
    has_ended: bool
    has_begun: bool
    is_interrupted: bool


def head() -> Head:
    """Return the first line of an export."""
    return Head(program=__version__, created_at=rfc3339(datetime.now(UTC)))


async def records(store: Store, chosen: Chosen, memory: "FencedSaver | None" = None) -> AsyncIterator[Record]:
    """Read all records, with what agents remember if `memory` is given.

    Servers may run meanwhile: then each message and each memory is as of its own moment.
    """
    keys = [key async for key in _keys(store)]
    settings = {record.tenant: record async for record in _tenants(store)}
    for tenant in chosen.tenants or sorted({DEFAULT_TENANT, *settings, *(key.stored().tenant for key in keys)}):
        if chosen.is_all:
            if tenant in settings:
                yield settings[tenant]
            for key in keys:
                if key.stored().tenant == tenant:
                    yield key
            async for item in _items(store, tenant):
                yield item
        async for record in _messages_and_threads(store, tenant, chosen, memory):
            yield record


async def _keys(store: Store) -> AsyncIterator[KeyRecord]:
    after = ""
    while page := await store.list_keys(None, after=after, limit=PAGE):
        for key in page:
            yield KeyRecord.of(key)
        after = page[-1].id


async def _tenants(store: Store) -> AsyncIterator[TenantRecord]:
    after = ""
    while page := await store.list_tenants(after=after, limit=PAGE):
        for record in page:
            yield TenantRecord.of(record)
        after = page[-1].tenant


async def _items(store: Store, tenant: str) -> AsyncIterator[ItemRecord]:
    offset = 0
    while page := await store.search_items(tenant, ItemSearch((), limit=PAGE, offset=offset)):
        for item in page:
            ttl = None if item.ttl_ms is None else item.ttl_ms
            yield ItemRecord(
                tenant=tenant, namespace=tuple(item.namespace), key=item.key, value=item.value,
                created_at=item.created_at, updated_at=item.updated_at, ttl_ms=ttl,
            )  # fmt: skip
        offset += len(page)


async def _known(store: Store, tenant: str, chosen: MessageFilter) -> list[_Known]:
    """Return what is known of all messages, in the order in which they were accepted."""
    found: list[_Known] = []
    cursor = None
    while page := await store.list_messages(tenant, chosen, Page(PAGE, cursor), positions=False):
        found += (
            _Known(
                each.id,
                each.thread_id,
                each.state in TERMINAL,
                each.started_at is not None,
                each.state is MessageState.INTERRUPTED,
            )
            for each in page
        )
        cursor = (page[-1].number, "")
    return found[::-1]


def _in_order(known: Sequence[_Known]) -> Iterator[tuple[_Known, bool]]:
    """Return messages in the order of an import, each with whether its last step is held back.

    An import claims messages to give them their history, and a claim takes the first one that is ready. Messages that
    are ready in the end therefore come last: first those that have ended, then those that have begun, with their last
    step held back, then these steps and the messages that wait.
    """
    open_threads: set[str] = set()
    begun: list[_Known] = []
    waiting: list[_Known] = []
    for each in known:
        behind = each.thread_id is not None and each.thread_id in open_threads
        if each.has_ended and not behind:
            yield each, False
            continue
        if each.thread_id is not None:
            open_threads.add(each.thread_id)
        if each.has_begun and not each.has_ended:
            begun.append(each)
        if not each.is_interrupted:
            waiting.append(each)
    for each in begun:
        yield each, not each.is_interrupted
    for each in waiting:
        yield each, False


async def _threads(store: Store, tenant: str, chosen: Chosen, known: Sequence[_Known]) -> list[ThreadRecord]:
    """Return all threads, or those of the chosen messages, the oldest activity first."""
    found: list[Thread] = []
    if chosen.is_all:
        cursor = None
        while page := await store.list_threads(tenant, Page(PAGE, cursor)):
            found += page
            cursor = (int(page[-1].last_activity.timestamp() * 1000 + 0.5), page[-1].thread_id)
        found.reverse()
    else:
        for name in dict.fromkeys(each.thread_id for each in known if each.thread_id is not None):
            try:
                found.append(await store.get_thread(tenant, name))
            except ThreadNotFound:
                continue  # it was deleted meanwhile
    return [
        ThreadRecord(
            tenant=tenant, thread_id=each.thread_id, created_at=each.created_at, last_activity=each.last_activity,
            name=each.name, metadata=dict(each.metadata), forked_from=each.forked_from, subject=each.subject,
            ttl=each.ttl,
        )
        for each in found
    ]  # fmt: skip


async def _messages(store: Store, tenant: str, order: Sequence[tuple[_Known, bool]]) -> AsyncIterator[MessageRecord]:
    for start in range(0, len(order), READ_AT_ONCE):
        part = order[start : start + READ_AT_ONCE]
        failures = await store.list_attempts(tenant, [each.id for each, _ in part])
        read = (_message(store, tenant, each.id, failures.get(each.id, ()), is_held=held) for each, held in part)
        for found in await asyncio.gather(*read):
            if found is not None:
                yield found


async def _message(
    store: Store, tenant: str, message_id: str, failures: Sequence[FailedAttempt], *, is_held: bool
) -> MessageRecord | None:
    """Return the record of a message, None if it was deleted meanwhile."""
    try:
        events, state = await _log(store, tenant, message_id)
        while (message := await store.get(tenant, message_id)).state is not state:
            events, state = await _log(store, tenant, message_id)
    except MessageNotFound:
        return None
    is_told = message.webhook_url is not None or bool(message.receivers)
    has_usage = any(each.type is EventType.USAGE for each in events)
    return MessageRecord(
        is_held=is_held,
        message=MessageRecord.fields_of(message),
        events=tuple(events),
        attempts=tuple(failures),
        usage=tuple(await store.message_usage(tenant, message_id)) if has_usage else (),
        aliases=await store.list_aliases(tenant, message_id),
        deliveries=tuple(await store.list_deliveries(tenant, message_id)) if is_told else (),
    )


async def _steps(
    memory: "FencedSaver", tenant: str, threads: Sequence[ThreadRecord], known: Sequence[_Known]
) -> AsyncIterator[MemoryRecord]:
    """Read what agents remember of these threads, and of the messages without a thread."""
    places: list[tuple[str | None, str | None]] = [(each.thread_id, None) for each in threads]
    places += [(None, each.id) for each in known if each.thread_id is None]
    for thread_id, message_id in places:
        for step in await read_steps(memory, Message.memory_key_of(tenant, thread_id, message_id or "")):
            yield MemoryRecord.of(step, tenant, thread_id, message_id)


async def _messages_and_threads(
    store: Store, tenant: str, chosen: Chosen, memory: "FencedSaver | None"
) -> AsyncIterator[Record]:
    known = await _known(store, tenant, chosen.messages)
    threads = await _threads(store, tenant, chosen, known)
    for thread in threads:
        yield thread
    async for message in _messages(store, tenant, list(_in_order(known))):
        yield message
    for thread in threads:
        if thread.name is not None or thread.metadata:
            yield thread
    if memory is not None:
        async for step in _steps(memory, tenant, threads, known):
            yield step


async def _log(store: Store, tenant: str, message_id: str) -> tuple[list[Event], MessageState]:
    """Return the log of a message, and its state with the last event."""
    page = await store.read(tenant, message_id, after=0, limit=PAGE)
    found = list(page.events)
    while page.events and page.events[-1].id < page.last:
        page = await store.read(tenant, message_id, after=found[-1].id, limit=PAGE)
        found += page.events
    return found, page.state
