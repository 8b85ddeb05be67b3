"""The rows of numbered messages in a SQLite file, and what deletes and copies whole checkpoints with them.

All functions run in the caller's transaction.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from importlib.resources import files
from typing import Any

from ..store.sql.named_sql import read_queries
from .fence import input_task_of
from .known_lists import NO_NUMBERS, Conversation, Numbering, SplitValues, StoredLists, has_lists
from .message_lists import Dump, Encoded
from .pruning import Pruning, StoredCheckpoint, without_rows
from .ranges import Range, Ranges, union
from .task_writes import TaskWrites

QUERIES = read_queries(files(__name__.rpartition(".")[0]).joinpath("sql", "sqlite", "queries.sql"))
NUMBER_BITS = 32


def set_up_lists(connection: sqlite3.Connection) -> None:
    """Create the tables, and the column of checkpoints. Other processes may do the same at the same time."""
    connection.execute(QUERIES["create_numberings"])
    connection.execute(QUERIES["create_messages"])
    if not _has_lists(connection):
        try:
            connection.execute(QUERIES["add_lists"])
        except sqlite3.OperationalError:
            if not _has_lists(connection):
                raise


def _has_lists(connection: sqlite3.Connection) -> bool:
    return connection.execute(QUERIES["has_lists"]).fetchone() is not None


def lists_of(connection: sqlite3.Connection, thread_id: str, namespace: str, checkpoint_id: str) -> StoredLists | None:
    """Return the lists of a checkpoint; None if it has none, or if its values are all stored in its row."""
    row = connection.execute(QUERIES["find_lists"], (thread_id, namespace, checkpoint_id)).fetchone()
    return None if row is None else _lists_of_json(row[0])


def had_lists(connection: sqlite3.Connection, thread_id: str, namespace: str, channels: Collection[str]) -> bool:
    """Return whether a checkpoint has a list in one of these channels."""
    values = (thread_id, namespace, json.dumps(list(channels)))
    return connection.execute(QUERIES["had_lists"], values).fetchone() is not None


def numbering_of(connection: sqlite3.Connection, thread_id: str) -> Numbering:
    """Return the numbering of a conversation. Create it if there is none."""
    row = connection.execute(QUERIES["find_numbering"], (thread_id,)).fetchone()
    return Numbering(*(row or connection.execute(QUERIES["add_numbering"], (thread_id,)).fetchone()))


def save_lists(
    connection: sqlite3.Connection,
    thread_id: str,
    namespace: str,
    conversation: Conversation,
    values: Mapping[str, Any],
    dump: Dump,
) -> SplitValues:
    """Store the messages of the lists that are not stored yet. Return the values that the checkpoint stores."""
    if not has_lists(values):
        return SplitValues(values, {}, {}, NO_NUMBERS)
    numbering = conversation.numbering
    if numbering is None or not numbering.next:  # a read of stored lists does not read the next number
        numbering = numbering_of(connection, thread_id)
    while True:
        split = conversation.split(namespace, values, numbering, dump)
        if _add_messages(connection, split):
            return split
        numbering = numbering_of(connection, thread_id)  # another process has added messages


def _add_messages(connection: sqlite3.Connection, split: SplitValues) -> bool:
    """Store the messages that are not stored yet. Return False if the stored numbering is another than the split's."""
    place = (split.numbering.id, split.numbering.next)
    if not split.added:
        return connection.execute(QUERIES["has_numbering"], place).fetchone() is not None
    if not connection.execute(QUERIES["raise_next_number"], (split.next_number, *place)).rowcount:
        return False
    rows = [(_id(split.numbering.id, number), *encoded) for number, encoded in split.added.items()]
    connection.executemany(QUERIES["add_message"], rows)
    return True


def save_writes(connection: sqlite3.Connection, place: Mapping[str, Any], written: TaskWrites) -> None:
    """Store what a task has written after the checkpoint of `place`."""
    first = (place["thread_id"], place.get("checkpoint_ns", ""), place["checkpoint_id"], written.task_id)
    rows = [(*first, written.task_path, row.number, row.channel, *row.encoded) for row in written.rows]
    connection.executemany(QUERIES["replace_write" if written.replaces else "add_write"], rows)


def read_messages(connection: sqlite3.Connection, numbering: int, ranges: Ranges) -> Mapping[int, Encoded]:
    """Return the stored messages with these numbers."""
    rows = [row for each in ranges for row in connection.execute(QUERIES["read_messages"], _ids(numbering, each))]
    return {row_id - _id(numbering, 0): (kind, value) for row_id, kind, value in rows}


def count_checkpoints(connection: sqlite3.Connection, thread_id: str) -> int:
    """Return how many checkpoints a conversation has."""
    return int(connection.execute(QUERIES["count_checkpoints"], (thread_id,)).fetchone()[0])


def stored_checkpoints(connection: sqlite3.Connection, thread_id: str) -> list[StoredCheckpoint]:
    """Return what pruning reads of the checkpoints of a conversation."""
    return [
        StoredCheckpoint(namespace, checkpoint_id, parent_id, run_id, bool(has_deltas), _lists_of_json(lists))
        for namespace, checkpoint_id, parent_id, run_id, has_deltas, lists in connection.execute(
            QUERIES["list_checkpoints"], (thread_id,)
        )
    ]


def apply_pruning(connection: sqlite3.Connection, thread_id: str, pruning: Pruning) -> None:
    """Delete what pruning has chosen."""
    places = [(thread_id, *row.place) for row in pruning.gone]
    connection.executemany(QUERIES["drop_checkpoint"], places)
    connection.executemany(QUERIES["drop_writes"], places)
    parents = [(parent_id, thread_id, *place) for place, parent_id in pruning.parents.items()]
    connection.executemany(QUERIES["set_parent"], parents)
    if pruning.numbers:
        numbering = numbering_of(connection, thread_id).id
        connection.executemany(QUERIES["drop_messages"], [_ids(numbering, each) for each in pruning.numbers])


def forget_runs(connection: sqlite3.Connection, thread_id: str, run_ids: Collection[str]) -> None:
    """Delete the checkpoints of these runs, and what they gave to the checkpoints before them."""
    rows = stored_checkpoints(connection, thread_id)
    gone = [row for row in rows if row.run_id in run_ids]
    apply_pruning(connection, thread_id, without_rows(rows, gone))
    for row in gone:
        if row.parent_id is not None:
            values = (thread_id, row.namespace, row.parent_id, input_task_of(row.parent_id))
            connection.execute(QUERIES["drop_input"], values)


def forget_lists(connection: sqlite3.Connection, thread_id: str) -> None:
    """Delete all messages of a conversation."""
    row = connection.execute(QUERIES["find_numbering"], (thread_id,)).fetchone()
    if row is not None:
        numbering, end = row
        connection.execute(QUERIES["drop_messages"], _ids(numbering, (0, end)))
        connection.execute(QUERIES["forget_numbering"], (thread_id,))


def copy_checkpoints(
    connection: sqlite3.Connection, source: str, rows: Iterable[StoredCheckpoint], target: str, last: str
) -> None:
    """Copy these checkpoints into an empty conversation, with their messages. Leave out the writes after `last`."""
    rows = list(rows)
    old, new = numbering_of(connection, source), numbering_of(connection, target)
    for row in rows:
        place = (source, *row.place)
        connection.execute(QUERIES["copy_checkpoint"], (target, new.id, *place))
        if row.id != last:
            connection.execute(QUERIES["copy_writes"], (target, *place))
    for each in union(row.lists.numbers for row in rows if row.lists):
        shift = _id(new.id, 0) - _id(old.id, 0)
        connection.execute(QUERIES["copy_messages"], (shift, *_ids(old.id, each)))
    connection.execute(QUERIES["set_next_number"], (old.next, new.id))


def measured(connection: sqlite3.Connection, thread_id: str) -> int:
    """Return the bytes of a conversation."""
    return int(connection.execute(QUERIES["measure"], {"key": thread_id}).fetchone()[0])


def _lists_of_json(stored: str | None) -> StoredLists | None:
    return None if stored is None else StoredLists.of_json(json.loads(stored))


def _id(numbering: int, number: int) -> int:
    return (numbering << NUMBER_BITS) | number


def _ids(numbering: int, numbers: Range) -> tuple[Any, Any]:
    first, end = numbers
    return _id(numbering, first), _id(numbering, end)
