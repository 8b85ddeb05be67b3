"""The rows of numbered messages in PostgreSQL, and what deletes and copies whole checkpoints with them."""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ..store.sql.named_sql import read_queries
from .fence import Mark, input_task_of
from .known_lists import Conversation, Numbering, SplitValues, StoredLists, new_numbering
from .message_lists import Load
from .pruning import Pruning, StoredCheckpoint, rows_until, without_rows
from .ranges import Ranges, union, without

Connection = AsyncConnection[DictRow]

QUERIES = read_queries(files(__name__.rpartition(".")[0]).joinpath("sql", "postgres", "queries.sql"))

FORGET = ("forget_checkpoints", "forget_values", "forget_writes", "forget_messages", "forget_numberings")
LISTS = "lists"
"""The key of the stored lists in the JSON of a checkpoint."""


INT_BITS = 64
"""Some readers refuse JSON numbers with as many bits or more."""


async def first_row(connection: Connection, query: str, values: Sequence[Any] | Mapping[str, Any]) -> DictRow | None:
    """Return the first row of a query; None if there is none."""
    return await (await connection.execute(query.encode(), values)).fetchone()


async def fill(connection: Connection, found: CheckpointTuple, conversation: Conversation, load: Load) -> None:
    """Add the lists that are stored apart to a checkpoint's values. Raises StateUnreadable."""
    in_row: Any = found.checkpoint
    if LISTS not in in_row:
        return
    stored = StoredLists.of_json(in_row.pop(LISTS))
    namespace = found.config["configurable"]["checkpoint_ns"]
    reading = conversation.begin_read(namespace, stored)
    missing = reading.missing
    rows: Sequence[DictRow] = ()
    if missing or conversation.numbering is None or conversation.numbering.id != stored.numbering:
        values = {"numbering": stored.numbering, **_bounds(missing)}
        rows = await (await connection.execute(QUERIES["read_messages"].encode(), values, binary=True)).fetchall()
    read = {row["number"]: (row["type"], row["value"]) for row in rows if row["number"] is not None}
    next_number = rows[0]["next"] if rows else 0
    found.checkpoint["channel_values"] |= reading.end(read, load, next_number)


def columns_of(split: SplitValues) -> dict[str, Any]:
    """Return the values of `save_checkpoint` that store the messages."""
    return {
        "numbering": split.numbering.id,
        "expected": split.numbering.next,
        "next": split.next_number,
        "numbers": list(split.added),
        "message_types": [kind for kind, _ in split.added.values()],
        "messages": [encoded for _, encoded in split.added.values()],
    }


async def numbering_of(connection: Connection, thread_id: str) -> Numbering | None:
    """Return the numbering of a conversation; None if it has no list."""
    row = await first_row(connection, QUERIES["find_numbering"], (thread_id,))
    return None if row is None else Numbering(row["id"], row["next"])


async def had_lists(connection: Connection, place: Mapping[str, Any], channels: Collection[str]) -> bool:
    """Return whether a checkpoint has a list in one of these channels."""
    values = (place["thread_id"], place.get("checkpoint_ns", ""), list(channels))
    return await first_row(connection, QUERIES["had_lists"], values) is not None


async def stored_checkpoints(connection: Connection, thread_id: str) -> list[StoredCheckpoint]:
    """Return what pruning reads of the checkpoints of a conversation."""
    query = QUERIES["list_checkpoints"].encode()
    return stored_of_rows(await (await connection.execute(query, {"thread": thread_id})).fetchall())


def stored_of_rows(rows: Sequence[Mapping[str, Any]]) -> list[StoredCheckpoint]:
    """Return what pruning reads of these rows of `list_checkpoints`."""
    return [
        StoredCheckpoint(
            row["checkpoint_ns"],
            row["checkpoint_id"],
            row["parent_checkpoint_id"],
            row["run_id"],
            row["has_deltas"],
            None if row[LISTS] is None else StoredLists.of_json(row[LISTS]),
        )
        for row in rows
    ]


async def apply_pruning(connection: Connection, thread_id: str, pruning: Pruning, mark: Mark | None = None) -> None:
    """Delete what pruning has chosen; nothing if a later attempt than the mark's has begun."""
    if not pruning.gone and not pruning.numbers:
        return
    children = list(pruning.parents)
    values = {
        "thread": thread_id,
        "namespaces": [row.namespace for row in pruning.gone],
        "ids": [row.id for row in pruning.gone],
        "child_namespaces": [namespace for namespace, _ in children],
        "children": [checkpoint_id for _, checkpoint_id in children],
        "parents": list(pruning.parents.values()),
        **_bounds(pruning.numbers),
        **(mark._asdict() if mark else {}),
    }
    await connection.execute(QUERIES["prune" if mark else "prune_unfenced"].encode(), values)


async def forget_runs(connection: Connection, thread_id: str, run_ids: Collection[str]) -> None:
    """Delete the checkpoints of these runs, and what they gave to the checkpoints before them."""
    if not run_ids:
        return
    rows = await stored_checkpoints(connection, thread_id)
    gone = [row for row in rows if row.run_id in run_ids]
    await apply_pruning(connection, thread_id, without_rows(rows, gone))
    for row in gone:
        if row.parent_id is not None:
            values = (thread_id, row.namespace, row.parent_id, input_task_of(row.parent_id))
            await connection.execute(QUERIES["drop_input"].encode(), values)


async def forget(connection: Connection, thread_ids: Sequence[str]) -> None:
    """Delete all of these conversations, except the marks of their attempts."""
    for statement in FORGET:
        await connection.execute(QUERIES[statement].encode(), (list(thread_ids),))


async def drop_unused_messages(connection: Connection, thread_id: str) -> None:
    """Delete the messages that no checkpoint has."""
    numbering = await numbering_of(connection, thread_id)
    if numbering is not None:
        used = union(row.lists.numbers for row in await stored_checkpoints(connection, thread_id) if row.lists)
        await apply_pruning(connection, thread_id, Pruning(numbers=without(((0, numbering.next),), used)))


async def copy_until(connection: Connection, source: str, checkpoint_id: str, target: str) -> bool:
    """Copy a conversation up to a checkpoint. Return False if there is no such checkpoint. Call it in a snapshot."""
    rows = rows_until(await stored_checkpoints(connection, source), checkpoint_id)
    if not rows:
        return False
    await forget(connection, [target])
    values = {
        "source": source,
        "target": target,
        "last": checkpoint_id,
        "numbering": new_numbering().id,
        "namespaces": [row.namespace for row in rows],
        "ids": [row.id for row in rows],
        **_bounds(union(row.lists.numbers for row in rows if row.lists)),
    }
    for statement in ("copy_checkpoints", "copy_writes", "copy_values", "copy_numbering", "copy_messages"):
        await connection.execute(QUERIES[statement].encode(), values)
    return True


def is_exact_in_json(value: Any) -> bool:
    """Return whether a JSON column keeps `value` without changing value or type."""
    if value is None or type(value) is bool:
        return True
    if type(value) is int:
        return value.bit_length() < INT_BITS
    return type(value) is str and value.isprintable()  # other text may have a NUL or a lone surrogate


def _bounds(ranges: Ranges) -> dict[str, Any]:
    return {"firsts": [first for first, _ in ranges], "ends": [end for _, end in ranges]}
