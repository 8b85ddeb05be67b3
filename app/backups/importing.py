"""Stores the records of an export through the ports of another store."""

from collections.abc import Callable, Iterable, Iterator
from typing import IO

from pydantic import TypeAdapter, ValidationError

from ..checkpoints.transfer import write_step
from ..clock import to_milliseconds
from ..errors import StateUnreadable
from ..errors.transfers import ExportDamaged
from ..models.items import ItemName, ItemWrite
from ..models.keys import NewKey
from ..models.threads import NewThread, ThreadChange
from ..store.ports import Store
from .memories import MemoryToWrite
from .records import End, Head, ItemRecord, KeyRecord, MemoryRecord, MessageRecord, Record, TenantRecord, ThreadRecord
from .replaying import Replay, ReplayClock

FIRST = 2
"""The number of the line with the first record."""

Told = Callable[[int], None]
"""Called with the number of records that were read."""

_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


class Imported:
    """The numbers of records that an import has read, and of those that were new."""

    def __init__(self) -> None:
        self.records = 0
        self.added = 0


def read_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """Read the lines of an export. Raises ExportDamaged with the number of the line."""
    rows = enumerate(lines, 1)
    _, first = next(rows, (0, b""))
    try:
        Head.model_validate_json(first)
    except ValidationError:
        raise ExportDamaged(
            "Line 1 is not the first line of an export, or a newer version has made it. Name a file of `agentq export`"
        ) from None
    for number, line in rows:
        try:
            record = _RECORD.validate_json(line)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            at = f" ({where})" if where else ""
            raise ExportDamaged(f"Line {number} cannot be read{at}: it is cut off or was changed") from None
        if isinstance(record, End):
            if record.records != number - FIRST:
                raise ExportDamaged(f"The export should have {record.records} records, and has {number - FIRST}")
            if next(rows, None) is not None:
                raise ExportDamaged(f"There is more behind line {number}, the end of the export")
            return
        yield record
    raise ExportDamaged("The export is cut off: its last line is missing")


def check_export(file: IO[bytes]) -> None:
    """Read a whole export that can be read again. Raises ExportDamaged."""
    for _ in read_records(file):
        pass
    file.seek(0)


async def store_records(
    records: Iterable[Record], store: Store, clock: ReplayClock, told: Told, memory: MemoryToWrite | None = None
) -> Imported:
    """Store records in their order. What is stored already is left as it is.

    `clock` is the clock of the store. No other process may use the database or `memory` meanwhile. Without `memory`,
    what agents remember is left out.
    """
    done = Imported()
    replay = Replay(store, clock)
    for record in records:
        match record:
            case KeyRecord():
                is_new = await _store_key(record, store, clock)
            case TenantRecord():
                is_new = await _store_tenant(record, store, clock)
            case ItemRecord():
                is_new = await _store_item(record, store, clock)
            case ThreadRecord():
                is_new = await _store_thread(record, store, clock)
            case MessageRecord():
                is_new = await replay.replay(record)
            case MemoryRecord():
                is_new = await _store_step(record, memory)
            case End():
                is_new = False
        done.records += 1
        done.added += is_new
        told(done.records)
    return done


async def _store_key(record: KeyRecord, store: Store, clock: ReplayClock) -> bool:
    """Store a key with its hashes. Its secret for webhooks is not in an export."""
    key = record.stored()
    if await store.get_key(None, key.id) is not None:
        return False
    clock.milliseconds = to_milliseconds(key.created_at)
    secret_hash = key.previous_hash or key.secret_hash
    new = NewKey(key.id, key.tenant, key.name, key.scopes, secret_hash, key.expires_at, key.webhook_url)._replace(
        limits=key.limits, quotas=key.quotas
    )
    await store.add_key(new)
    if key.previous_hash is not None and key.previous_until is not None:
        await store.rotate_key(None, key.id, key.secret_hash, key.previous_until)
    if key.last_used_at is not None:
        await store.use_keys({key.id: key.last_used_at})
    if key.revoked_at is not None:
        clock.milliseconds = to_milliseconds(key.revoked_at)
        await store.revoke_key(None, key.id)
    return True


async def _store_tenant(record: TenantRecord, store: Store, clock: ReplayClock) -> bool:
    """Store the settings of a tenant, unless it has a record."""
    settings = record.stored()
    clock.milliseconds = to_milliseconds(record.created_at)
    stored = await store.put_tenant(record.tenant, settings, revision=None)
    if stored is not None and record.changed_at != record.created_at:
        clock.milliseconds = to_milliseconds(record.changed_at)
        await store.put_tenant(record.tenant, settings, revision=stored.revision)
    return stored is not None


async def _store_item(record: ItemRecord, store: Store, clock: ReplayClock) -> bool:
    (present,) = await store.get_items(record.tenant, [ItemName(record.namespace, record.key)])
    if present is not None:
        return False
    write = ItemWrite(record.namespace, record.key, record.value, record.ttl_ms)
    for moment in (record.created_at, record.updated_at):
        clock.milliseconds = to_milliseconds(moment)
        await store.put_items(record.tenant, [write])
    return True


async def _store_step(record: MemoryRecord, memory: MemoryToWrite | None) -> bool:
    saver = None if memory is None else await memory.saver()
    if saver is None:
        return False
    key, step = record.stored()
    try:
        return await write_step(saver, key, step)
    except StateUnreadable as error:
        raise ExportDamaged(f"What agents remember of {key} cannot be read: {error}") from error


async def _store_thread(record: ThreadRecord, store: Store, clock: ReplayClock) -> bool:
    """Make a thread, or give it the name and the metadata that it had in the end."""
    clock.milliseconds = to_milliseconds(record.created_at)
    new = NewThread(record.forked_from, record.name, record.metadata or None, record.subject, record.ttl)
    made = await store.create_thread(record.tenant, record.thread_id, new, keeps_existing=True)
    thread = made.thread
    if made.is_new or (thread.name, thread.metadata, thread.ttl) == (record.name, record.metadata, record.ttl):
        return made.is_new
    clock.milliseconds = to_milliseconds(record.last_activity)
    gone = dict.fromkeys(thread.metadata.keys() - record.metadata.keys())
    await store.change_thread(
        record.tenant, record.thread_id, ThreadChange((record.name,), {**record.metadata, **gone}, (record.ttl,))
    )
    return False
