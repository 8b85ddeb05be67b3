"""A conversation on Redis: its three keys, and the names of its rows.

`fence` is a hash with the mark of its newest attempt. `rows` is a hash of all that is saved, by name. `index` is a
sorted set of the names of checkpoints and writes. All scores are 0, so the set is in the order of the names. NUL joins
the parts of a name:

    c  namespace  checkpoint id                       a checkpoint without its values, and its metadata
    w  namespace  checkpoint id  task id  number      a write of a task that belongs to a checkpoint
    v  namespace  channel  version                    a channel's value, once for all checkpoints that have this version
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata

from .answers import KEPT_NUMBER
from .fence import input_task_of

PREFIX = "{agent_queue}:checkpoint:"
NUL = "\0"


class CheckpointRow(NamedTuple):
    """A stored checkpoint. `values` has the names of its values' rows."""

    namespace: str
    id: str
    parent_id: str | None
    values: list[str]
    checkpoint: Checkpoint
    metadata: CheckpointMetadata

    @property
    def name(self) -> str:
        """Return the name of the checkpoint's row."""
        return NUL.join(("c", self.namespace, self.id))


def unfinished(saved: dict[bytes, bytes]) -> Sequence[str]:
    """Return the names of the writes of unfinished steps, except humans' answers that tasks have received."""
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


def unneeded(names: Iterable[str], rows: Iterable[CheckpointRow], kept_rows: Iterable[CheckpointRow]) -> Sequence[str]:
    """Return the names of the rows that none of `kept_rows` needs. Leaves out writes whose checkpoint is missing."""
    kept = {name for row in kept_rows for name in (row.name, *row.values)}
    removed = {row.name: row for row in rows if row.name not in kept}
    inputs = {(row.namespace, row.parent_id, input_task_of(row.parent_id)) for row in removed.values() if row.parent_id}

    def goes(name: str) -> bool:
        kind, *parts = name.split(NUL)
        if kind == "v":
            return name not in kept
        return NUL.join(("c", *parts[:2])) in removed or tuple(parts[:3]) in inputs

    return [name for name in names if goes(name)]


def keys_of(thread_id: str) -> Sequence[str]:
    """Return the keys of a conversation: fence, index, rows."""
    return [f"{PREFIX}{kind}:{thread_id}" for kind in ("fence", "index", "rows")]


def parts_of(name: bytes) -> Sequence[str]:
    """Return the parts of a row's name after its first letter."""
    return name.decode().split(NUL)[1:]


def value_name(namespace: str, channel: str, version: Any) -> str:
    """Return the name of the row with a channel's value."""
    return NUL.join(("v", namespace, channel, str(version)))
