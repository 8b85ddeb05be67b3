"""Deletes and copies whole checkpoints on Redis. Each change is one transaction that is tried again if rows change."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from redis import exceptions
from redis.asyncio import Redis

from .known_lists import Numbering, StoredLists, new_numbering
from .pruning import Pruning, rows_until
from .ranges import union
from .redis_rows import (
    CheckpointRow,
    keys_of,
    message_names,
    numbering_of,
    numbering_row,
    parts_of,
    row_of,
    unneeded,
    with_header,
)
from .serializer import Serializer

READ_AT_ONCE = 1_000
"""How many rows one command reads, so that others do not wait for long."""


class Saved(NamedTuple):
    """The checkpoints of a conversation, and the names of all checkpoints and writes. `content` has their rows."""

    names: Sequence[bytes]
    checkpoints: Sequence[CheckpointRow]
    content: Mapping[bytes, bytes]


class Change(NamedTuple):
    """The names of rows to delete, and rows to write."""

    gone: Sequence[str] = ()
    written: Mapping[str, bytes] = MappingProxyType({})


Choose = Callable[[Saved], Change]
Check = Callable[[dict[bytes, bytes]], None]
"""Raises an error if the conversation's mark is another one than the caller's."""


class RedisChanges:
    """Changes conversations on one server."""

    def __init__(self, client: Redis, serde: Serializer) -> None:
        self._client = client
        self._serde = serde

    async def apply(self, thread_id: str, choose: Choose, check: Check | None) -> None:
        """Delete and write the chosen rows of a conversation."""
        fence, index, rows = keys_of(thread_id)

        async def change(transaction: Any) -> None:
            if check is not None:
                check(await transaction.hgetall(fence))
            chosen = choose(await self._saved(transaction, thread_id))
            if not chosen.gone and not chosen.written:
                return
            transaction.multi()
            if chosen.gone:
                transaction.hdel(rows, *chosen.gone)
                transaction.zrem(index, *chosen.gone)
            if chosen.written:
                transaction.hset(rows, mapping=chosen.written)
            await transaction.execute()

        await self._repeat(change, fence, rows)

    async def copy_until(self, source: str, checkpoint_id: str, target: str) -> bool:
        """Copy a conversation up to a checkpoint. Return False if there is no such checkpoint."""
        source_rows = keys_of(source)[2]
        _, target_index, target_rows = keys_of(target)

        async def copy(transaction: Any) -> bool:
            saved = await self._saved(transaction, source)
            copied = {row.place for row in rows_until([each.stored for each in saved.checkpoints], checkpoint_id)}
            if not copied:
                return False
            checkpoints = [each for each in saved.checkpoints if each.place in copied]
            writes = [name for name in saved.names if name.startswith(b"w") and _of(name) in copied]
            writes = [name for name in writes if parts_of(name)[1] != checkpoint_id]
            values = list(dict.fromkeys(name for each in checkpoints for name in each.values))
            numbers = union(each.lists.numbers for each in checkpoints if each.lists)
            wanted: list[str | bytes] = [*writes, *values, *message_names(numbers)]
            read = zip(wanted, await read_rows(transaction, source_rows, wanted), strict=True)
            content: dict[Any, Any] = {name: row for name, row in read if row is not None}
            old, new = numbering_of(await transaction.hget(source_rows, "n")), new_numbering()
            for each in checkpoints:
                row = saved.content[each.name.encode()]
                lists = each.lists and StoredLists(new.id, each.lists.channels).as_json()
                content[each.name] = with_header(row, lists=lists) if lists else row
            if old is not None:
                content["n"] = numbering_row(Numbering(new.id, old.next))
            transaction.multi()
            transaction.unlink(target_index, target_rows)
            transaction.hset(target_rows, mapping=content)
            transaction.zadd(target_index, dict.fromkeys([*writes, *(each.name for each in checkpoints)], 0))
            await transaction.execute()
            return True

        return bool(await self._repeat(copy, source_rows))

    async def _saved(self, transaction: Any, thread_id: str) -> Saved:
        _, index, rows = keys_of(thread_id)
        names = await transaction.zrange(index, 0, -1)
        wanted = [name for name in names if name.startswith(b"c")]
        read = zip(wanted, await read_rows(transaction, rows, wanted), strict=True)
        content = {name: row for name, row in read if row is not None}
        return Saved(names, [row_of(self._serde, name, row) for name, row in content.items()], content)

    async def _repeat(self, change: Callable[[Any], Any], *watched: str) -> Any:
        async with cast(Any, self._client).pipeline() as transaction:
            while True:
                await transaction.watch(*watched)
                try:
                    return await change(transaction)
                except exceptions.WatchError:
                    continue


async def read_rows(client: Any, key: str, names: Sequence[str | bytes]) -> list[bytes | None]:
    """Return the rows with these names; None for each that is missing."""
    found: list[bytes | None] = []
    for first in range(0, len(names), READ_AT_ONCE):
        found += await client.hmget(key, names[first : first + READ_AT_ONCE])
    return found


def change_of(saved: Saved, pruning: Pruning) -> Change:
    """Return the rows to delete and to write for a pruning."""
    written = {}
    for row in saved.checkpoints:
        if row.place in pruning.parents:
            written[row.name] = with_header(saved.content[row.name.encode()], parent=pruning.parents[row.place])
    return Change(unneeded(saved.names, saved.checkpoints, pruning), written)


def _of(name: bytes) -> tuple[str, str]:
    namespace, checkpoint_id, *_ = parts_of(name)
    return namespace, checkpoint_id
