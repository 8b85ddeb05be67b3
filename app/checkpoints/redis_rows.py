"""A conversation on Redis: its three keys, and the names of its rows.

`fence` is a hash with the mark of its newest attempt. `rows` is a hash of all that is saved, by name. `index` is a
sorted set of the names of checkpoints and writes. All scores are 0, so the set is in the order of the names. NUL joins
the parts of a name:

    c  namespace  checkpoint id                       a checkpoint without its values, and its metadata
    w  namespace  checkpoint id  task id  number      a write of a task that belongs to a checkpoint
    v  namespace  channel  version                    a channel's value, once for all checkpoints that have this version
    m  number                                         a message of a list, once for all checkpoints
    n                                                 the numbering of the messages: its id, a colon, its next number

A row is a header in JSON, a NUL, and the serializer's bytes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .answers import KEPT_NUMBER
from .fence import input_task_of
from .known_lists import Numbering, StoredLists
from .message_lists import Encoded
from .pruning import Pruning, StoredCheckpoint
from .ranges import Ranges, numbers_in
from .serializer import Serializer
from .task_writes import TaskWrites

PREFIX = "{agent_queue}:checkpoint:"
NUL = "\0"


class CheckpointRow(NamedTuple):
    """A stored checkpoint. `values` has the names of its values' rows, `lists` the lists that are stored apart.

    `body` is the encoded checkpoint without its values, and its metadata.
    """

    namespace: str
    id: str
    parent_id: str | None
    values: list[str]
    lists: StoredLists | None
    run_id: str | None
    has_deltas: bool
    body: Encoded

    @property
    def stored(self) -> StoredCheckpoint:
        """Return what pruning reads of the checkpoint."""
        return StoredCheckpoint(self.namespace, self.id, self.parent_id, self.run_id, self.has_deltas, self.lists)

    @property
    def place(self) -> tuple[str, str]:
        """Return the namespace and the id."""
        return self.namespace, self.id

    @property
    def name(self) -> str:
        """Return the name of the checkpoint's row."""
        return NUL.join(("c", self.namespace, self.id))


def unfinished(saved: Sequence[bytes]) -> Sequence[str]:
    """Return the names of the writes of unfinished steps, except humans' answers that tasks have received.

    `saved` are the names of all checkpoints and writes.
    """
    last: dict[str, str] = {}
    for name in saved:
        if name.startswith(b"c\0"):
            namespace, checkpoint_id = parts_of(name)
            last[namespace] = max(checkpoint_id, last.get(namespace, ""))

    def is_unfinished(name: bytes) -> bool:
        namespace, checkpoint_id, _, number = parts_of(name)
        return last.get(namespace) == checkpoint_id and int(number) != KEPT_NUMBER

    return [name.decode() for name in saved if name.startswith(b"w\0") and is_unfinished(name)]


def newest(rows: Sequence[CheckpointRow]) -> Iterable[CheckpointRow]:
    """Return the newest checkpoint of each namespace."""
    return {row.namespace: row for row in sorted(rows, key=lambda row: row.id)}.values()


def unneeded(names: Iterable[bytes], rows: Sequence[CheckpointRow], pruning: Pruning) -> Sequence[str]:
    """Return the names of the rows that only the checkpoints of `pruning` need.

    `names` are the names of all checkpoints and writes, `rows` are all checkpoints.
    """
    gone = {row.place for row in pruning.gone}
    kept = {name for row in rows if row.place not in gone for name in row.values}
    values = {name for row in rows if row.place in gone for name in row.values if name not in kept}
    inputs = {(row.namespace, row.parent_id, input_task_of(row.parent_id)) for row in pruning.gone if row.parent_id}

    def goes(name: bytes) -> bool:
        parts = parts_of(name)
        return tuple(parts[:2]) in gone or tuple(parts[:3]) in inputs

    return [*(name.decode() for name in names if goes(name)), *values, *message_names(pruning.numbers)]


def packed(serde: Serializer, header: dict[str, Any], value: Any) -> bytes:
    """Return a row with this value."""
    return encoded_row(header, serde.dumps_typed(value))


def rows_of_writes(
    place: Mapping[str, Any], finished: Iterable[TaskWrites]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the rows of tasks' writes after the checkpoint of `place`: those to add if missing, those to replace."""
    added: dict[str, bytes] = {}
    replaced: dict[str, bytes] = {}
    for written in finished:
        first = NUL.join(("w", place.get("checkpoint_ns", ""), place["checkpoint_id"], written.task_id))
        rows = replaced if written.replaces else added
        for row in written.rows:
            header = {"channel": row.channel, "path": written.task_path}
            rows[f"{first}{NUL}{row.number}"] = encoded_row(header, row.encoded)
    return added, replaced


def encoded_row(header: dict[str, Any], encoded: Encoded) -> bytes:
    """Return a row with this encoded value."""
    kind, content = encoded
    stored = json.dumps({**header, "type": kind}).encode() if header else b'{"type": "%b"}' % kind.encode()
    return stored + b"\0" + content


def encoded_of(row: bytes) -> tuple[dict[str, Any], Encoded]:
    """Return the header and the encoded value of a row."""
    stored, _, content = row.partition(b"\0")
    header: dict[str, Any] = json.loads(stored)
    return header, (header["type"], content)


def unpacked(serde: Serializer, row: bytes) -> tuple[dict[str, Any], Any]:
    """Return the header and the value of a row."""
    header, encoded = encoded_of(row)
    return header, serde.loads_typed(encoded)


def row_of(serde: Serializer, name: bytes, row: bytes) -> CheckpointRow:
    """Return a checkpoint, given its row and the row's name. Decode its body only if the header has no turn."""
    namespace, checkpoint_id = parts_of(name)
    header, body = encoded_of(row)
    lists = header.get("lists") and StoredLists.of_json(header["lists"])
    run_id, has_deltas = header["turn"] if "turn" in header else turn_of(serde.loads_typed(body)["metadata"])
    return CheckpointRow(namespace, checkpoint_id, header["parent"], header["values"], lists, run_id, has_deltas, body)


def turn_of(metadata: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return what pruning reads of a checkpoint's metadata: the run, and whether a channel needs earlier checkpoints.

    Rows of earlier builds do not have it in their headers.
    """
    return metadata.get("run_id"), "counters_since_delta_snapshot" in metadata


def with_header(row: bytes, **changed: Any) -> bytes:
    """Return a row with these fields of its header changed."""
    header, separator, body = row.partition(b"\0")
    return json.dumps({**json.loads(header), **changed}).encode() + separator + body


def message_names(ranges: Ranges) -> list[str]:
    """Return the names of the rows of messages."""
    return [f"m{NUL}{number}" for number in numbers_in(ranges)]


def numbering_row(numbering: Numbering) -> str:
    """Return the row of a numbering."""
    return f"{numbering.id}:{numbering.next}"


def numbering_of(row: bytes | None) -> Numbering | None:
    """Return the numbering in its row; None without a row."""
    return None if row is None else Numbering(*map(int, row.split(b":")))


def keys_of(thread_id: str) -> Sequence[str]:
    """Return the keys of a conversation: fence, index, rows."""
    return [f"{PREFIX}{kind}:{thread_id}" for kind in ("fence", "index", "rows")]


def parts_of(name: bytes) -> Sequence[str]:
    """Return the parts of a row's name after its first letter."""
    return name.decode().split(NUL)[1:]


def value_name(namespace: str, channel: str, version: Any) -> str:
    """Return the name of the row with a channel's value."""
    return NUL.join(("v", namespace, channel, str(version)))
