"""Deletes and copies whole checkpoints on Redis. Each change is atomic, and tried again if checkpoints were added."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from redis import exceptions
from redis.asyncio import Redis

from .known_lists import Numbering, StoredLists, new_numbering
from .pruning import Pruning, rows_until
from .ranges import union
from .redis_client import flat
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

INDEX_CHANGED = -1
"""The reply of `change.lua` if checkpoints were added or deleted meanwhile."""


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
RunScript = Callable[..., Awaitable[Any]]
"""Runs a script by its name, with arguments, for one conversation. Raises LeaseLost if the attempt may not write."""


class RedisChanges:
    """Changes conversations on one server."""

    def __init__(self, client: Redis, serde: Serializer) -> None:
        self._client = client
        self._serde = serde

    async def apply(self, thread_id: str, choose: Choose, run: RunScript, listed: Any = None) -> None:
        """Delete and write the chosen rows of a conversation. An attempt takes its right to write first.

        `listed` is the reply of `list.lua`, if it is known.
        """
        while True:
            digest, names, read = listed or await run("list", READ_AT_ONCE)
            listed = None
            chosen = choose(await self._saved(self._client, thread_id, names, read))
            if not chosen.gone and not chosen.written:
                return
            rows = (len(chosen.gone), *chosen.gone, *flat(chosen.written))
            if await run("change", digest, *rows) != INDEX_CHANGED:
                return

    async def copy_until(self, source: str, checkpoint_id: str, target: str) -> bool:
        """Copy a conversation up to a checkpoint. Return False if there is no such checkpoint."""
        _, source_index, source_rows = keys_of(source)
        _, target_index, target_rows = keys_of(target)

        async def copy(transaction: Any) -> bool:
            saved = await self._saved(transaction, source, await transaction.zrange(source_index, 0, -1))
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

        async with cast(Any, self._client).pipeline() as transaction:
            while True:
                await transaction.watch(source_rows)
                try:
                    return await copy(transaction)
                except exceptions.WatchError:
                    continue

    async def _saved(
        self, client: Any, thread_id: str, names: Sequence[bytes], read: Sequence[bytes | None] = ()
    ) -> Saved:
        """Return the checkpoints among these names. `read` has the rows of the first ones."""
        wanted = [name for name in names if name.startswith(b"c")]
        rows = [*read, *await read_rows(client, keys_of(thread_id)[2], wanted[len(read) :])]
        content = {name: row for name, row in zip(wanted, rows, strict=True) if row is not None}
        return Saved(names, [row_of(self._serde, name, row) for name, row in content.items()], content)


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
